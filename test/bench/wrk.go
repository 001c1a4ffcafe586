package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// wrkScript asks for known clients, as the load generator of this program does.
const wrkScript = `local bodies = {}
for n = 0, 999 do
  bodies[n] = string.format(%q, n, math.floor(n / 65536) + 11, math.floor(n / 256) %% 256, n %% 256)
end
local n = 0
local headers = {["Content-Type"] = "application/json"}
request = function()
  n = (n + 1) %% 1000
  return wrk.format("POST", "/?command=allow", headers, bodies[n])
end
`

const wrkBody = `{"device_id":"","login":"known%d@example.org","mech":"PLAIN","protocol":"imap","pwhash":"0001","remote":"%d.%d.%d.66","session_id":"HAONS9Ng2KJ/AAAB","tls":false}`

// wrk has a load generator that everybody knows say the same thing.
func (b *bench) wrk(ctx context.Context, d *daemon, web *child) error {
	if !installed(wrk) {
		b.note("wrk is not installed: what it measures is missing")
		return nil
	}
	script := filepath.Join(d.dir, "allow.lua")
	if err := os.WriteFile(script, fmt.Appendf(nil, wrkScript, wrkBody), 0o600); err != nil {
		return err
	}
	var ours, bare series
	for range b.rounds {
		for _, s := range []struct {
			server netip.AddrPort
			to     *series
		}{{d.dovecot, &ours}, {web.addr, &bare}} {
			n, err := b.runWrk(ctx, script, s.server)
			if err != nil {
				return err
			}
			*s.to = append(*s.to, n)
		}
	}
	b.add(figure{part: "throughput", what: "Dovecot allow, asked by wrk", unit: perSecond, ours: ours, beside: bareHTTP, baseline: bare, target: ratioAtLeast(1.3)})
	return nil
}

var (
	wrkRate   = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	wrkFailed = regexp.MustCompile(`(?m)^\s*(Socket errors|Non-2xx).*$`)
)

func (b *bench) runWrk(ctx context.Context, script string, server netip.AddrPort) (float64, error) {
	whole := max(int(b.duration.Seconds()+0.5), 1)
	cmd := exec.CommandContext(ctx, wrk, "-t"+strconv.Itoa(b.threads), "-c"+strconv.Itoa(b.connections), "-d"+strconv.Itoa(whole)+"s", "-s", script, "http://"+server.String()+"/")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	if failed := wrkFailed.Find(out); failed != nil {
		return 0, fmt.Errorf("wrk: %s", failed)
	}
	found := wrkRate.FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("wrk says no rate: %s", out)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}
