//go:build linux

package nftables

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saslguard/saslguard/firewall"
	"github.com/saslguard/saslguard/test/netns"
)

func config() firewall.Config {
	return firewall.Config{
		Backend: firewall.NFTables, Ports: []string{"587", "993"}, MaxBans: 1_000_000, AtStop: firewall.AtStopRemove,
		Table: "saslguard", Hooks: []string{firewall.HookInput}, Verdict: firewall.Drop,
		Log: firewall.LogConfig{Enabled: true, Prefix: "saslguard: ", Rate: "1/minute"},
	}
}

// backend makes one that works in a world.
func backend(w *netns.World, c firewall.Config) *Backend {
	w.Helper()
	b, err := New(c, Options{NetNS: w.FD})
	if err != nil {
		w.Fatal(err)
	}
	return b
}

// element is one that lasts for some time; 0 is for good.
func element(layer firewall.Layer, prefix string, lasts time.Duration) firewall.Element {
	e := firewall.Element{Layer: layer, Prefix: netip.MustParsePrefix(prefix)}
	if lasts != 0 {
		e.Until = time.Now().Add(lasts)
	}
	return e
}

func replace(t testing.TB, b *Backend, all ...firewall.Element) {
	t.Helper()
	if err := b.Replace(t.Context(), all); err != nil {
		t.Fatal(err)
	}
}

func put(e firewall.Element) firewall.Change    { return firewall.Change{Element: e} }
func remove(e firewall.Element) firewall.Change { return firewall.Change{Remove: true, Element: e} }

// again puts what is in force with another end.
func again(e firewall.Element, was time.Duration) firewall.Change {
	return firewall.Change{Element: e, Had: true, Was: time.Now().Add(was)}
}

func apply(t testing.TB, b *Backend, changes ...firewall.Change) {
	t.Helper()
	if err := b.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

// The table is as the documentation shows it, for an administrator to read.
func TestTable(t *testing.T) {
	w := netns.New(t)
	c := config()
	c.Hooks = []string{firewall.HookInput, firewall.HookForward, firewall.HookPrerouting}
	c.Verdict = firewall.Reject
	c.Log.Group = 7
	c.Limits = []firewall.LimitConfig{{Ports: []string{"25", "587"}, Rate: "2/hour", Burst: 2}, {Ports: []string{"993"}, Rate: "20/minute", Burst: 10, Size: 100}}
	b := backend(w, c)
	replace(t, b,
		element(firewall.Allow, "192.0.2.0/28", 0),
		element(firewall.Ban, "203.0.113.7/32", time.Hour), element(firewall.Ban, "198.51.100.0/24", 0),
		element(firewall.Ban, "2001:db8:1:2::/64", 0), element(firewall.Ban, "2001:db8::7/128", 0), element(firewall.Ban, "2001:db8:7::/48", 0),
		element(firewall.OperatorBan, "0.0.0.0/0", 0), element(firewall.OperatorBan, "::/0", 0),
	)
	got := w.NFT("list table inet saslguard")
	for _, want := range []string{
		"type filter hook input priority filter - 10; policy accept;\n\t\tmeta iiftype loopback accept\n\t\ttcp dport @ports jump judge\n\t\ttcp dport @limited ct state new goto limits\n",
		"type filter hook forward priority filter - 10; policy accept;\n",
		"\t\tmeta l4proto tcp ct direction original ct original proto-dst @ports jump judge\n",
		"type filter hook prerouting priority mangle; policy accept;\n",
		"\t\tip saddr @never4 accept\n\t\tip saddr @operator4 goto deny\n\t\tip saddr @allow4 accept\n\t\tip saddr @ban4 goto deny\n\t\tip saddr @net4 goto deny\n",
		"\t\tip6 saddr & ffff:ffff:ffff:ffff:: == @ban64 goto deny\n\t\tip6 saddr @ban6 goto deny\n\t\tip6 saddr @net6 goto deny\n",
		"update @logged4 { ip saddr limit rate 1/minute burst 1 packets } log prefix \"saslguard: \" group 7\n",
		"\t\treject with tcp reset\n",
		"ct original proto-dst @limit1 update @rate4_1 { ip saddr timeout 1h limit rate over 2/hour burst 2 packets counter } reject with tcp reset\n",
		"size 100\n",
		"203.0.113.7 timeout 59m5", "elements = { 0.0.0.0, 198.51.100.0/24 }", "elements = { 0.0.0.0, 0.0.0.1-255.255.255.255 }",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not there:\n%s", want, got)
		}
	}
	if err := b.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if got := w.NFT("list ruleset"); got != "" {
		t.Errorf("after Remove there is\n%s", got)
	}
	if err := b.Remove(t.Context()); err != nil {
		t.Errorf("removed twice: %v", err)
	}
}

// What each layer does to packets of each kind of address.
func TestPackets(t *testing.T) {
	server, client := netns.Pair(t)
	for _, port := range []int{587, 993, 25} {
		server.Listen(port)
	}
	b := backend(server, config())
	replace(t, b,
		element(firewall.Never, "192.0.2.1/32", 0), element(firewall.OperatorBan, "192.0.2.0/25", 0), element(firewall.Allow, "192.0.2.0/24", 0),
		element(firewall.Ban, "192.0.2.200/32", 0), element(firewall.Ban, "203.0.113.7/32", time.Hour), element(firewall.Ban, "198.51.100.0/25", 0),
		element(firewall.Ban, "2001:db8:1:2::/64", 0), element(firewall.Ban, "2001:db8:1:3::7/128", time.Hour), element(firewall.Ban, "2001:db8:7::/48", 0),
		element(firewall.OperatorBan, "2001:db8:9::/64", 0), element(firewall.Allow, "2001:db8:7:7::/64", 0),
	)
	var running sync.WaitGroup
	for from, want := range map[string]bool{
		netns.Client4: true, netns.Client6: true,
		"192.0.2.1":          true,  // never
		"192.0.2.2":          false, // the operator's, whatever is allowed
		"192.0.2.200":        true,  // allowed, whatever is banned automatically
		"203.0.113.7":        false,
		"203.0.113.8":        true,
		"198.51.100.127":     false, // the last of the /25
		"198.51.100.128":     true,
		"2001:db8:1:2::":     false,
		"2001:db8:1:2::1":    false,
		"2001:db8:1:3::7":    false,
		"2001:db8:1:3::8":    true,
		"2001:db8:7:1::1":    false,
		"2001:db8:7:7::1":    true,
		"2001:db8:9::1":      false,
		"64:ff9b::cb00:7107": false, // 203.0.113.7 by NAT64
		"64:ff9b::cb00:7108": true,
		"64:ff9b::c000:201":  true,  // 192.0.2.1, which is never banned
		"64:ff9b::c000:202":  false, // 192.0.2.2
		"2002:cb00:7107::1":  false, // 203.0.113.7 by 6to4
		"2002:cb00:7108::1":  true,
	} {
		for _, port := range []int{587, 25} {
			running.Go(func() {
				if got := client.Reaches(from, port); got != (want || port == 25) {
					t.Errorf("from %s to %d: %v", from, port, got)
				}
			})
		}
	}
	running.Wait()
	if packets, octets, err := b.Denied(t.Context()); err != nil || packets < 9 || octets < packets*40 {
		t.Errorf("denied %d packets, %d octets, %v", packets, octets, err)
	}
}

// A ban takes effect, gets another end, is lifted; prefixes one inside the other
// come and go in one step, as the agent has them do.
func TestChanges(t *testing.T) {
	server, client := netns.Pair(t)
	server.Listen(993)
	b := backend(server, config())
	if err := b.Apply(t.Context(), []firewall.Change{put(element(firewall.Ban, "203.0.113.1/32", 0))}); err == nil {
		t.Error("a change without a table is taken")
	}
	replace(t, b)
	reaches := func(want bool, from ...string) {
		t.Helper()
		for _, a := range from {
			if got := client.Reaches(a, 993); got != want {
				t.Errorf("%s reaches: %v", a, got)
			}
		}
	}
	host, host6, wide, narrow := element(firewall.Ban, "203.0.113.1/32", time.Hour), element(firewall.Ban, "2001:db8:1::/64", time.Hour),
		element(firewall.Ban, "198.51.100.0/24", time.Hour), element(firewall.Ban, "198.51.100.64/26", time.Hour)
	apply(t, b, put(host), put(host6), put(narrow))
	reaches(false, "203.0.113.1", "2001:db8:1::5", "198.51.100.65")
	apply(t, b, remove(narrow), put(wide))
	reaches(false, "198.51.100.1", "198.51.100.65")
	reaches(true, "203.0.113.2", "198.18.0.2")
	apply(t, b, remove(wide), remove(host), remove(host6), put(narrow))
	reaches(false, "198.51.100.65")
	reaches(true, "198.51.100.1", "203.0.113.1", "2001:db8:1::5")

	// Ends: earlier, later, never, all by what is in the kernel.
	host.Until, narrow.Until = time.Now().Add(400*time.Millisecond), time.Now().Add(400*time.Millisecond)
	apply(t, b, put(host), again(narrow, time.Hour))
	reaches(false, "203.0.113.1", "198.51.100.65")
	time.Sleep(time.Until(host.Until) + 50*time.Millisecond)
	reaches(true, "203.0.113.1", "198.51.100.65")
	apply(t, b, remove(host), remove(narrow)) // what has ended
	apply(t, b, put(element(firewall.Ban, "203.0.113.1/32", 300*time.Millisecond)), put(element(firewall.Ban, "198.51.100.64/26", 300*time.Millisecond)))
	for _, lasts := range []time.Duration{time.Hour, 0} {
		apply(t, b, put(element(firewall.Ban, "203.0.113.1/32", lasts)), again(element(firewall.Ban, "198.51.100.64/26", lasts), time.Hour))
	}
	time.Sleep(350 * time.Millisecond)
	reaches(false, "203.0.113.1", "198.51.100.65")
	if got := server.NFT("list set inet saslguard ban4"); !strings.Contains(got, "elements = { 0.0.0.0, 203.0.113.1 }") {
		t.Errorf("a permanent ban is\n%s", got)
	}
	apply(t, b, put(element(firewall.Ban, "203.0.113.9/32", -time.Hour)))
	reaches(true, "203.0.113.9")
}

// Overlaps are refused as a whole: it is the agent that has to avoid them.
func TestOverlap(t *testing.T) {
	w := netns.New(t)
	b := backend(w, config())
	replace(t, b, element(firewall.Ban, "198.51.100.0/24", 0))
	if err := b.Apply(t.Context(), []firewall.Change{
		put(element(firewall.Ban, "203.0.113.1/32", 0)), put(element(firewall.Ban, "198.51.100.64/26", 0)),
	}); err == nil {
		t.Fatal("an overlap is taken")
	}
	if got := w.NFT("list set inet saslguard ban4"); strings.Contains(got, "203.0.113.1") {
		t.Errorf("half of a transaction happened:\n%s", got)
	}
	apply(t, b, put(element(firewall.Ban, "203.0.113.1/32", 0))) // and goes on
}

// What others change is seen, and what is not ours is no matter.
func TestIntact(t *testing.T) {
	w := netns.New(t)
	c := config()
	c.Hooks = []string{firewall.HookInput, firewall.HookForward}
	b := backend(w, c)
	intact := func(want string) {
		t.Helper()
		missing, err := b.Intact(t.Context())
		if err != nil || !strings.Contains(missing, want) || (want == "") != (missing == "") {
			t.Errorf("missing is %q (%v), want %q", missing, err, want)
		}
	}
	intact("the table")
	replace(t, b, element(firewall.Ban, "203.0.113.1/32", 0))
	intact("")
	apply(t, b, put(element(firewall.Ban, "203.0.113.2/32", 0)))
	g, err := b.generation()
	if err != nil || b.seen != g {
		t.Errorf("a transaction of its own is looked after: generation %d, seen %d (%v)", g, b.seen, err)
	}
	w.NFT("add table inet other\nadd chain inet other x")
	intact("")
	w.NFT("add rule inet saslguard input counter")
	intact("")
	for done, want := range map[string]string{
		"flush ruleset":                      "the table",
		"delete table inet saslguard":        "the table",
		"flush chain inet saslguard judge4":  "a rule of the chain judge4",
		"flush chain inet saslguard input":   "a rule of the chain input",
		"flush set inet saslguard ban4":      "what the set ban4 held",
		"flush set inet saslguard operator6": "what the set operator6 held",
		"flush table inet saslguard":         "the table",
		"flush chain inet saslguard forward; delete chain inet saslguard forward": "a rule of the chain forward",
	} {
		w.NFT(done)
		intact(want)
		replace(t, b)
		intact("")
	}
}

// More elements than a message holds, in sets of both kinds.
func TestMany(t *testing.T) {
	w := netns.New(t)
	b := backend(w, config())
	const n = 2*perMessage + 345
	var all []firewall.Element
	for i := range n {
		all = append(all, element(firewall.Ban, fmt.Sprintf("100.%d.%d.1/32", i>>8, i&255), time.Hour),
			element(firewall.Ban, fmt.Sprintf("100.%d.%d.128/25", i>>8, i&255), time.Hour))
	}
	count := func() (hosts, nets int) {
		return strings.Count(w.NFT("list set inet saslguard ban4"), "expires"), strings.Count(w.NFT("list set inet saslguard net4"), "expires")
	}
	replace(t, b, all...)
	if hosts, nets := count(); hosts != n || nets != n {
		t.Errorf("built with %d and %d", hosts, nets)
	}
	var changes []firewall.Change
	for _, e := range all {
		changes = append(changes, remove(e))
	}
	apply(t, b, changes...)
	if hosts, nets := count(); hosts != 0 || nets != 0 {
		t.Errorf("%d and %d are left", hosts, nets)
	}
	for i := range changes {
		changes[i].Remove = false
	}
	apply(t, b, changes...)
	if hosts, nets := count(); hosts != n || nets != n {
		t.Errorf("put %d and %d", hosts, nets)
	}
}
