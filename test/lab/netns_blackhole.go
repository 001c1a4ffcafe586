package lab

import (
	"fmt"
	"net/netip"
	"testing"
)

// BlackHole is a Redis in a namespace of its own, on a way that can swallow
// packets: then nobody refuses a connection and nothing is ever answered, as
// behind a dead router or a silent firewall. A frozen Redis is not the same,
// since its kernel goes on to accept connections and to acknowledge data.
type BlackHole struct {
	Addr  string // Redis, seen from the host
	Redis *Redis

	namespace *Namespace
}

// StartBlackHole runs them until the test ends. At first packets pass.
func StartBlackHole(t testing.TB, o RedisOptions) *BlackHole {
	t.Helper()
	Require(t, NeedRedis, NeedNamespaces)
	n := StartNamespace(t)
	// Redis's own port: nobody else is in there.
	addr := netip.AddrPortFrom(n.Addr, 6379)
	r := newRedis(t, "Redis in a namespace")
	r.Addr, r.command = addr.String(), n.Inside(redisCommand(r.Dir, addr, o)...)
	if err := r.launch(); err != nil {
		t.Fatalf("starting Redis in a namespace: %v", err)
	}
	return &BlackHole{Addr: r.Addr, Redis: r, namespace: n}
}

// swallow drops what comes and what goes. ARP goes on, or the host would soon
// say that there is no such neighbour, and a connection would fail at once.
const swallow = `table ip lab {
	chain in { type filter hook input priority 0; iifname %[1]q drop; }
	chain out { type filter hook output priority 0; oifname %[1]q drop; }
}
`

// Drop makes all packets vanish, those of open connections too. Drop may be
// called again.
func (b *BlackHole) Drop() error {
	return b.nft(forget + fmt.Sprintf(swallow, innerLink))
}

// Restore lets packets pass again. What was under way is sent again by TCP,
// after up to a second or as long as the silence had lasted.
func (b *BlackHole) Restore() error { return b.nft(forget) }

// forget removes the rules, also where there are none.
const forget = "add table ip lab\ndelete table ip lab\n"

func (b *BlackHole) nft(rules string) error { return b.namespace.Run(rules, nftPath, "-f", "-") }
