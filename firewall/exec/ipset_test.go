//go:build linux

package exec

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/firewall"
	"github.com/saslguard/saslguard/test/netns"
)

// The command for ipset that the documentation shows, as it stands there, over a
// real ipset.
func TestIpset(t *testing.T) {
	t.Parallel()
	const ipset = "/usr/sbin/ipset"
	if _, err := os.Stat(ipset); err != nil {
		t.Fatalf("%v; install it: apt-get install --no-install-recommends -y ipset", err)
	}
	text, err := os.ReadFile("../../docs/firewall.md")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for line := range strings.Lines(string(text)) {
		code, is := strings.CutPrefix(line, "    ")
		if code == "#!/bin/sh\n" || script.Len() > 0 {
			if !is {
				break
			}
			script.WriteString(code)
		}
	}
	if !strings.Contains(script.String(), "ipset -exist restore") {
		t.Fatalf("the first script of docs/firewall.md is\n%s", script.String())
	}
	path := filepath.Join(t.TempDir(), "saslguard-ipset")
	if err := os.WriteFile(path, []byte(script.String()), 0o755); err != nil {
		t.Fatal(err)
	}
	w := netns.New(t)
	w.Run("", ipset, "create", "saslguard4", "hash:net", "timeout", "0", "maxelem", "1000000")
	w.Run("", ipset, "create", "saslguard6", "hash:net", "family", "inet6", "timeout", "0", "maxelem", "1000000")
	b, logs := open(t, []string{"/usr/bin/nsenter", "--net=" + w.Path, "/usr/bin/env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", path}, 30*time.Second)
	has := func(want bool, entries ...string) {
		t.Helper()
		for _, e := range entries {
			set := "saslguard4"
			if strings.Contains(e, ":") {
				set = "saslguard6"
			}
			if _, err := w.Try("", ipset, "-q", "test", set, e); (err == nil) != want {
				t.Errorf("%s is in %s: %v", e, set, err == nil)
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(b.Replace(t.Context(), []firewall.Element{ban("192.0.2.1/32", 3600), ban("192.0.2.2/32", 0), ban("198.51.100.0/24", 60), ban("2001:db8:1:2::/64", 60)}))
	has(true, "192.0.2.1", "192.0.2.2", "198.51.100.77", "2001:db8:1:2::9")
	has(false, "192.0.2.3", "2001:db8:1:3::9")
	must(b.Apply(t.Context(), []firewall.Change{
		{Remove: true, Element: ban("192.0.2.1/32", 0)}, {Remove: true, Element: ban("192.0.2.9/32", 0)}, {Element: ban("192.0.2.3/32", 60)}, {Element: ban("198.51.100.0/24", 2)},
	}))
	has(false, "192.0.2.1")
	has(true, "192.0.2.3", "198.51.100.77")
	time.Sleep(2500 * time.Millisecond)
	has(false, "198.51.100.77")
	must(b.Replace(t.Context(), []firewall.Element{ban("192.0.2.4/32", 60)}))
	has(true, "192.0.2.4")
	has(false, "192.0.2.2", "192.0.2.3", "2001:db8:1:2::9")
	// The longest automatic ban is longer than what an ipset can keep.
	must(b.Replace(t.Context(), []firewall.Element{ban("192.0.2.5/32", 30*24*3600)}))
	must(b.Apply(t.Context(), []firewall.Change{{Element: ban("192.0.2.6/32", 30*24*3600)}}))
	has(true, "192.0.2.5", "192.0.2.6")
	must(b.Remove(t.Context()))
	has(false, "192.0.2.5", "192.0.2.6")
	var all []firewall.Element
	for i := range 20_000 {
		all = append(all, ban(fmt.Sprintf("100.64.%d.%d/32", i>>8, i&255), 3600))
	}
	began := time.Now()
	must(b.Replace(t.Context(), all))
	t.Logf("%d bans took %v", len(all), time.Since(began).Round(time.Millisecond))
	has(true, "100.64.78.31")
	for _, e := range logs.FilterMessage("the firewall's command says").All() {
		t.Errorf("the command complains: %v", e.ContextMap()["said"])
	}
	// What ipset does not take is no success.
	w.Run("", ipset, "destroy", "saslguard6")
	if err := b.Apply(t.Context(), []firewall.Change{{Element: ban("2001:db8::/64", 60)}}); err == nil || !strings.Contains(err.Error(), "ipset failed at: ban 2001:db8::/64") {
		t.Errorf("without the set: %v", err)
	}
}
