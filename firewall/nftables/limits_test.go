//go:build linux

package nftables

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/saslguard/saslguard/firewall"
	"github.com/saslguard/saslguard/test/fuzzing"
	"github.com/saslguard/saslguard/test/netns"
)

// Limits count new connections of a client, IPv6 ones by /64, on their own ports;
// who is allowed is not limited, and what is known can be listed.
func TestLimits(t *testing.T) {
	server, client := netns.Pair(t)
	for _, port := range []int{25, 587, 993} {
		server.Listen(port)
	}
	c := config()
	c.Limits = []firewall.LimitConfig{{Ports: []string{"25"}, Rate: "2/hour", Burst: 2}, {Ports: []string{"587"}, Rate: "1/hour", Burst: 4, Expiry: 24 * time.Hour}}
	b := backend(server, c)
	if rates, err := b.Rates(t.Context()); len(rates) > 0 || err != nil {
		t.Errorf("before there is a table: %v %v", rates, err)
	}
	replace(t, b, element(firewall.Allow, "192.0.2.0/24", 0))
	want := func(port int, reaches bool, from ...string) {
		t.Helper()
		for _, a := range from {
			if got := client.Reaches(a, port); got != reaches {
				t.Errorf("%s to %d: %v", a, port, got)
			}
		}
	}
	want(25, true, "203.0.113.1", "203.0.113.1", "2001:db8:1:2::1", "2001:db8:1:2::2")
	want(25, false, "203.0.113.1", "2001:db8:1:2::3")
	want(25, true, "203.0.113.2", "2001:db8:1:3::1", "192.0.2.1", "192.0.2.1", "192.0.2.1")
	want(587, true, "203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.1")
	want(587, false, "203.0.113.1")
	want(25, true, "64:ff9b::cb00:7103", "64:ff9b::cb00:7103", "64:ff9b::cb00:7104", "64:ff9b::c000:201", "64:ff9b::c000:201", "64:ff9b::c000:201") // by NAT64
	want(25, false, "64:ff9b::cb00:7103", "64:ff9b::cb00:7101")
	want(993, true, "203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.1")

	rates, err := b.Rates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	type known struct {
		limit    int
		limiting bool
	}
	got := map[string]known{}
	for _, r := range rates {
		key := r.Source.String()
		if r.Limit == 2 {
			key += " (2)"
		}
		got[key] = known{r.Limit, r.Limiting}
		expiry := time.Hour
		if r.Limit == 2 {
			expiry = 24 * time.Hour
		}
		if r.Limiting != (r.Refused > 0) || r.Seen < 0 || r.Seen > time.Minute || r.Forgets > expiry || r.Forgets < expiry-time.Minute {
			t.Errorf("%+v", r)
		}
	}
	for source, want := range map[string]known{
		"203.0.113.1/32": {1, true}, "203.0.113.2/32": {1, false}, "2001:db8:1:2::/64": {1, true}, "2001:db8:1:3::/64": {1, false}, "203.0.113.1/32 (2)": {2, true},
		"203.0.113.3/32": {1, true}, "203.0.113.4/32": {1, false},
	} {
		if got[source] != want {
			t.Errorf("%s is %+v, want %+v", source, got[source], want)
		}
	}
	if len(got) != 7 {
		t.Errorf("known are %v", got)
	}
}

// What the kernel logs of the banned has the prefix, and comes at the log's rate,
// which is not a rate at which they are let in.
func TestLog(t *testing.T) {
	server, client := netns.Pair(t)
	server.Listen(587)
	c := config()
	c.Log = firewall.LogConfig{Enabled: true, Prefix: "sg-test ", Rate: "2/hour", Group: 7}
	b := backend(server, c)
	replace(t, b, element(firewall.Ban, "203.0.113.0/24", 0), element(firewall.Ban, "2001:db8:1:2::/64", 0))
	lines := listenLog(server, 7)
	for range 4 {
		for _, from := range []string{"203.0.113.1", "2001:db8:1:2::1"} {
			if client.Reaches(from, 587) {
				t.Errorf("%s is let in", from)
			}
		}
	}
	if client.Reaches("203.0.113.2", 587) {
		t.Error("another is let in")
	}
	got := map[string]int{}
	for {
		select {
		case line := <-lines:
			got[line]++
			continue
		case <-time.After(time.Second):
		}
		break
	}
	if len(got) != 1 || got["sg-test "] != 2+2+1 && got["sg-test "] != 2+2+2 { // the last one may send its SYN twice
		t.Errorf("logged is %v", got)
	}
}

// listenLog returns the prefixes of what is logged to a group of nflog, as ulogd
// reads it: see include/uapi/linux/netfilter/nfnetlink_log.h.
func listenLog(w *netns.World, group uint16) <-chan string {
	w.Helper()
	const (
		nflog, packet, config             = 4, 0, 1 // subsystem and messages
		attributeCommand, attributePrefix = 1, 10
		commandBind                       = 1
	)
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: w.FD})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	bind, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: attributeCommand, Data: []byte{commandBind}}})
	if err != nil {
		w.Fatal(err)
	}
	header := binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0}, group)
	if _, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: nflog<<8 | config, Flags: netlink.Request | netlink.Acknowledge}, Data: append(header, bind...),
	}); err != nil {
		w.Fatal(err)
	}
	lines := make(chan string, 100)
	go func() {
		for {
			messages, err := c.Receive()
			if err != nil {
				return
			}
			for _, m := range messages {
				if m.Header.Type != nflog<<8|packet {
					continue
				}
				attributes, err := netlink.UnmarshalAttributes(m.Data[4:])
				if err != nil {
					continue
				}
				for _, a := range attributes {
					if a.Type == attributePrefix {
						lines <- string(bytes.TrimRight(a.Data, "\x00"))
					}
				}
			}
		}
	}()
	return lines
}

// FuzzDecodeRates holds that no message of a kernel's is more than it can be.
func FuzzDecodeRates(f *testing.F) {
	element, _ := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_SET_ELEM_KEY | unix.NLA_F_NESTED, Data: []byte{8, 0, 1, 0, 192, 0, 2, 1}},
		{Type: unix.NFTA_SET_ELEM_TIMEOUT, Data: []byte{0, 0, 0, 0, 0, 0, 0x10, 0}},
		{Type: unix.NFTA_SET_ELEM_EXPIRATION, Data: []byte{0, 0, 0, 0, 0, 0, 0x08, 0}},
	})
	list, _ := nested(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, element)
	message, _ := nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS|unix.NLA_F_NESTED, list)
	f.Add(message)
	f.Add([]byte{})
	f.Add(message[:len(message)-3])
	f.Fuzz(func(t *testing.T, message []byte) {
		rates, err := decodeRates(message, 1)
		if err != nil {
			return
		}
		if len(rates) > len(message)/4 {
			t.Errorf("%d octets are %d sources", len(message), len(rates))
		}
		for _, r := range rates {
			if !r.Source.IsValid() || r.Source != r.Source.Masked() || r.Seen < 0 || r.Limit != 1 {
				t.Errorf("%+v", r)
			}
		}
	})
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
