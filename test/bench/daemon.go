package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/saslguard/saslguard/test/bench/load"
)

// daemon is a saslguard that serves.
type daemon struct {
	*child
	dovecot, postfix, admin netip.AddrPort
	dir                     string
}

// settings are how a saslguard differs from the shipped configuration.
type settings struct {
	redis netip.AddrPort // zero: memory store
	state string         // the state directory; "": a new one
}

const configuration = `mode: enforce
host: bench
state_directory: %s
log: {level: warn}
rules: {allow_clients: [127.0.0.0/8, %s]}
postfix: {listen: ["%s"], max_connections: 5000}
dovecot: {listen: ["%s"], max_connections: 5000}
admin: {listen: "%s", control: {socket: %s}}
store: {subjects: 8000000, bans: 2000000, familiar: 2000000}
`

// startDaemon starts a saslguard and waits until it answers and knows all bans.
func (b *bench) startDaemon(ctx context.Context, s settings) (*daemon, error) {
	dir, err := os.MkdirTemp(b.dir, "daemon-")
	if err != nil {
		return nil, err
	}
	if s.state == "" {
		s.state = filepath.Join(dir, "state")
		if err := os.Mkdir(s.state, 0o700); err != nil {
			return nil, err
		}
	}
	addrs, err := freeAddrs(3)
	if err != nil {
		return nil, err
	}
	d := &daemon{dovecot: addrs[0], postfix: addrs[1], admin: addrs[2], dir: dir}
	text := fmt.Sprintf(configuration, s.state, load.AllowedClients, d.postfix, d.dovecot, d.admin, d.socket())
	if s.redis.IsValid() {
		text += fmt.Sprintf("redis: {addresses: [\"%s\"], hash_key: a key for benchmarks}\n", s.redis)
	}
	config := filepath.Join(dir, "saslguard.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if d.child, err = startChild(dir, "saslguard", plainEnvironment(), b.program, "serve", "--config", config); err != nil {
		return nil, err
	}
	if err := d.until(ctx, d.healthy); err != nil {
		_ = d.stop()
		return nil, err
	}
	return d, nil
}

// plainEnvironment leaves out what would configure saslguard.
func plainEnvironment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
}

func (d *daemon) socket() string { return filepath.Join(d.dir, "control.sock") }

// healthy is when all parts are.
func (d *daemon) healthy() error {
	r, err := http.Get("http://" + d.admin.String() + "/healthz")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("/healthz says %s", r.Status)
	}
	return nil
}

// metric is the sum of the series of a metric.
func (d *daemon) metric(name string) (float64, error) {
	r, err := http.Get("http://" + d.admin.String() + "/metrics")
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	sum, found := 0.0, false
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		series, value, _ := strings.Cut(lines.Text(), " ")
		if series != name && !strings.HasPrefix(series, name+"{") {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum += n
		found = true
	}
	if !found {
		return 0, fmt.Errorf("there is no metric %s", name)
	}
	return sum, nil
}

// banAtOnce is how many one list may ban.
const banAtOnce = 50_000

// banAll bans the first n banned clients, as an operator with lists does.
func (b *bench) banAll(ctx context.Context, d *daemon, n int) error {
	list := filepath.Join(d.dir, "bans.txt")
	for from := 0; from < n; from += banAtOnce {
		var text strings.Builder
		for i := from; i < min(from+banAtOnce, n); i++ {
			fmt.Fprintln(&text, load.Banned.Addr(i))
		}
		if err := os.WriteFile(list, []byte(text.String()), 0o600); err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, b.program, "ban", "--socket", d.socket(), "--from", list, "--for", "30d", "--reason", "benchmark")
		cmd.Env = plainEnvironment()
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("banning %d clients: %w: %s", n, err, out[:min(len(out), 500)])
		}
	}
	return nil
}

// attempts is how many reports have been counted, or are about to be.
func (d *daemon) attempts() (float64, error) { return d.metric("saslguard_attempts_total") }

// settle waits until so many reports are counted.
func (d *daemon) settle(ctx context.Context, want float64) error {
	var counted float64
	for began := time.Now(); time.Since(began) < startWithin; time.Sleep(lookEvery) {
		var err error
		if counted, err = d.attempts(); err != nil || counted >= want {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("%.0f of %.0f reports are counted", counted, want)
}
