package firewall

import (
	"net/netip"
	"testing"
	"time"
)

func TestSpared(t *testing.T) {
	t.Parallel()
	own := []netip.Addr{netip.MustParseAddr("198.51.100.5"), netip.MustParseAddr("2001:db8:5::5")}
	for _, c := range []struct {
		prefix                     string
		automatic, operator, whole Spare // whole: an operator's without layers
		private                    Spare // automatic, where private ones may be banned
	}{
		{"203.0.113.1/32", "", "", "", ""},
		{"203.0.113.0/24", "", "", "", ""},
		{"2001:db8:1:2::/64", "", "", "", ""},
		{"127.0.0.1/32", SpareLoopback, SpareLoopback, SpareLoopback, SpareLoopback},
		{"::1/128", SpareLoopback, SpareLoopback, SpareLoopback, SpareLoopback},
		{"198.51.100.5/32", SpareOwn, SpareOwn, SpareOwn, SpareOwn},
		{"198.51.100.0/24", SpareOwn, "", SpareOwn, SpareOwn},
		{"2001:db8:5::/64", SpareOwn, "", SpareOwn, SpareOwn},
		{"10.1.2.3/32", SparePrivate, SparePrivate, SparePrivate, ""},
		{"192.168.0.0/24", SparePrivate, SparePrivate, SparePrivate, ""},
		{"172.16.0.0/12", SparePrivate, SparePrivate, SparePrivate, ""},
		{"100.64.0.1/32", SparePrivate, SparePrivate, SparePrivate, ""},
		{"169.254.1.1/32", SparePrivate, SparePrivate, SparePrivate, ""},
		{"fe80::/64", SparePrivate, SparePrivate, SparePrivate, ""},
		{"fd00:1:2:3::/64", SparePrivate, SparePrivate, SparePrivate, ""},
		{"0.0.0.0/32", SpareAddress, SpareAddress, SpareAddress, SpareAddress},
		{"224.0.0.1/32", SpareAddress, SpareAddress, SpareAddress, SpareAddress},
		{"255.255.255.255/32", SpareAddress, SpareAddress, SpareAddress, SpareAddress},
		{"::/128", SpareAddress, SpareAddress, SpareAddress, SpareAddress},
		{"::/64", SpareAddress, SpareAddress, SpareLoopback, SpareAddress},
		{"::ffff:203.0.113.1/128", SpareAddress, SpareAddress, SpareAddress, SpareAddress},
		{"64:ff9b::/64", SpareNAT64, "", "", SpareNAT64},
		{"64:ff9b::/96", SpareNAT64, "", "", SpareNAT64},
		{"64:ff9b::203.0.113.1/128", "", "", "", ""},
		{"ff02::1/128", SpareAddress, SpareAddress, SpareAddress, SpareAddress},
		{"8.0.0.0/6", "", "", SparePrivate, ""},
		{"0.0.0.0/0", SpareOwn, "", SpareLoopback, SpareOwn},
		{"::/0", SpareOwn, "", SpareLoopback, SpareOwn},
	} {
		p := netip.MustParsePrefix(c.prefix)
		s := newSpared(own, false)
		if got := s.judge(Element{Layer: Ban, Prefix: p}, false); got != c.automatic {
			t.Errorf("an automatic ban of %s: %q, want %q", c.prefix, got, c.automatic)
		}
		if got := newSpared(own, true).judge(Element{Layer: Ban, Prefix: p}, false); got != c.private {
			t.Errorf("an automatic ban of %s with private ones: %q, want %q", c.prefix, got, c.private)
		}
		if got := s.judge(Element{Layer: OperatorBan, Prefix: p}, false); got != c.operator {
			t.Errorf("an operator's ban of %s: %q, want %q", c.prefix, got, c.operator)
		}
		if got := s.judge(Element{Layer: OperatorBan, Prefix: p}, true); got != c.whole {
			t.Errorf("an operator's ban of %s without layers: %q, want %q", c.prefix, got, c.whole)
		}
	}
}

// What is inside NAT64 and 6to4 addresses is what was banned; but a private address
// inside is nobody's word.
func TestDeniesWrapped(t *testing.T) {
	t.Parallel()
	s := newShadow()
	for _, e := range newSpared(nil, false).elements() {
		s.put(e, nil)
	}
	for layer, text := range map[Layer]string{Ban: "203.0.113.7/32", Allow: "192.0.2.0/24", OperatorBan: "10.0.0.0/8"} {
		s.put(Element{Layer: layer, Prefix: netip.MustParsePrefix(text)}, nil)
	}
	s.put(Element{Layer: Ban, Prefix: netip.MustParsePrefix("2002:a00:1::/64")}, nil) // of 10.0.0.1
	for text, want := range map[string]bool{
		"203.0.113.7": true, "::ffff:203.0.113.7": true, "64:ff9b::cb00:7107": true, "2002:cb00:7107::1": true,
		"203.0.113.8": false, "64:ff9b::cb00:7108": false, "64:ff9b:1::cb00:7107": false,
		"2002:a00:1::1": true, "2002:a00:2::1": false, "10.0.0.1": false, "192.0.2.1": false,
	} {
		if got := s.denies(netip.MustParseAddr(text), time.UnixMilli(1)); got != want {
			t.Errorf("%s is denied: %v", text, got)
		}
	}
}
