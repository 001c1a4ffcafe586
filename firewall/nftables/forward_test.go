//go:build linux

package nftables

import (
	"net/netip"
	"testing"
	"time"

	"github.com/saslguard/saslguard/firewall"
	"github.com/saslguard/saslguard/test/netns"
)

// A mail server in a container, as Docker publishes one: packets are forwarded, to
// another port than the one that the client meant.
func TestForwarded(t *testing.T) {
	for _, hook := range []string{firewall.HookForward, firewall.HookPrerouting} {
		t.Run(hook, func(t *testing.T) {
			host, client := netns.Pair(t)
			container := netns.New(t)
			host.IP("link add to-container type veth peer name eth0 netns " + container.Path)
			host.IP("address add 172.17.0.1/16 dev to-container\nlink set to-container up")
			container.IP("address add 172.17.0.2/16 dev eth0\nlink set eth0 up\nroute add default via 172.17.0.1")
			host.Run("", "/bin/sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
			host.NFT("table ip docker {\n chain prerouting {\n type nat hook prerouting priority dstnat\n" +
				" iifname to-client tcp dport 993 dnat to 172.17.0.2:1993\n iifname to-client tcp dport 8443 dnat to 172.17.0.2:1993\n }\n}")
			container.Listen(1993)
			client.IP("route add 172.17.0.0/16 via " + netns.Server4)
			client.Listen(993)
			c := config()
			c.Hooks = []string{hook}
			b := backend(host, c)
			const banned, other = "203.0.113.7", "203.0.113.8"
			ban := element(firewall.Ban, banned+"/32", time.Hour)
			replace(t, b)
			if !client.Reaches(banned, 993) {
				t.Fatal("nobody reaches the container")
			}
			apply(t, b, put(ban))
			for _, x := range []struct {
				from string
				port int
				want bool
			}{
				{banned, 993, false}, {other, 993, true},
				{banned, 8443, true}, // not guarded, although it leads to the same place
			} {
				if got := client.Reaches(x.from, x.port); got != x.want {
					t.Errorf("%s reaches port %d: %t", x.from, x.port, got)
				}
			}
			// What the container itself asks of others is not concerned.
			if c, err := container.DialTo(netip.MustParseAddrPort(banned+":993"), time.Second); err != nil {
				t.Errorf("the container does not reach a banned client: %v", err)
			} else {
				c.Close()
			}
			apply(t, b, remove(ban))
			if !client.Reaches(banned, 993) {
				t.Error("an unbanned client does not reach the container")
			}
		})
	}
}
