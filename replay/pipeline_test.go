package replay

import (
	"bytes"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/saslguard/saslguard/test/loggen/traffic"
)

// pipeline is how administrators find guessers by hand.
const pipeline = `grep 'authentication failed' "$1" | egrep -o '([0-9]{1,3}\.){3}[0-9]{1,3}' | sort | uniq -c | awk '$1 > 5 {print $2}'`

// Replay finds whom the pipeline finds, and the IPv6 clients that it misses.
func TestThePipelineByHand(t *testing.T) {
	var log bytes.Buffer
	truth, err := traffic.Write(&log, traffic.Options{Lines: 25_000, Seed: 7, IPv6: true})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", pipeline, "bash", write(t, "mail.log", log.Bytes()))
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	byHand := strings.Fields(string(out))
	// In its output a host name such as 203-0-1-2.dyn.example.net has no dots between
	// the numbers; were it otherwise the pipeline would count the client twice.
	slices.Sort(byHand)

	r, err := run(t, log.Bytes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var ours, ours6 []string
	for _, c := range r.Results[0].Clients {
		if c.Failures <= 5 {
			continue
		}
		if c.prefix.Addr().Is4() {
			ours = append(ours, c.Client)
		} else {
			ours6 = append(ours6, c.Client)
		}
	}
	slices.Sort(ours)
	if !slices.Equal(ours, byHand) {
		t.Errorf("replay has %d clients, the pipeline %d\n%v\n%v", len(ours), len(byHand), ours, byHand)
	}
	missed, failures := 0, 0
	for client, n := range truth.Failures {
		failures += n
		if n > 5 && client.Is6() {
			missed++
			p := netip.PrefixFrom(client, 64).Masked()
			if !slices.Contains(ours6, p.String()) {
				t.Errorf("%s is missing", p)
			}
		}
	}
	if missed == 0 || missed != len(ours6) || len(byHand) < 50 {
		t.Errorf("%d IPv6 clients and %d others, want %d and more than 50", len(ours6), len(byHand), missed)
	}
	if r.Read.Failures != failures || r.Read.Successes != truth.Successes || r.Read.Lines != truth.Lines || r.Read.Unknown != 0 {
		t.Errorf("%+v, want %d failures, %d successes, %d lines", r.Read, failures, truth.Successes, truth.Lines)
	}
}
