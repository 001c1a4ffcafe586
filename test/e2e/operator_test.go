package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/admin/client"
	"github.com/saslguard/saslguard/test/lab"
)

var update = flag.Bool("update", false, "write the transcript in docs/control.md anew")

// operator runs commands of the program against one daemon.
type operator struct {
	*testing.T
	bin, socket string
	env         []string
}

// run runs a command and returns what it said and its exit code.
func (o operator) run(args ...string) (stdout, stderr string, code int) {
	o.Helper()
	ctx, cancel := context.WithTimeout(o.Context(), time.Minute)
	defer cancel()
	var out, err bytes.Buffer
	cmd := exec.CommandContext(ctx, o.bin, append(args, "--socket", o.socket)...)
	cmd.Stdout, cmd.Stderr = &out, &err
	cmd.Env = append(os.Environ(), "TZ=UTC")
	cmd.Env = append(cmd.Env, o.env...)
	var exit *exec.ExitError
	if failed := cmd.Run(); failed != nil && !errors.As(failed, &exit) {
		o.Fatal(failed)
	}
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// must runs a command that has to work.
func (o operator) must(args ...string) string {
	o.Helper()
	stdout, stderr, code := o.run(args...)
	if code != 0 {
		o.Fatalf("saslguard %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// An operator's day, over real Dovecot: somebody guesses, is seen, understood and
// let in again. What the commands say stands in docs/control.md.
func TestAnOperatorsDay(t *testing.T) {
	t.Parallel()
	s := newSite(t, "--set", "host=mx1", "--set", "rules.client.refuse=4", "--set", "rules.client.ban=6")
	o := operator{T: t, bin: s.bin, socket: s.control}
	s.mustEnter(s.imap, home, alice)
	s.guess(s.imap, bot, alice, 5)
	s.guess(s.imap, bot, bob, 1)
	s.waitFor(`"msg":"banned"`)
	s.mustNotEnter(s.imap, bot, alice)

	const docs = "../../docs/control.md"
	var said strings.Builder
	step := func(command string, want ...string) {
		t.Helper()
		out, stderr, code := o.run(strings.Fields(command)...)
		for _, w := range want {
			if !strings.Contains(out+stderr, w) {
				t.Errorf("saslguard %s says nothing of %q:\n%s%s", command, w, out, stderr)
			}
		}
		fmt.Fprintf(&said, "    $ saslguard %s\n", command)
		for line := range strings.Lines(out + stderr) {
			said.WriteString(strings.TrimRight("    "+strings.TrimRight(line, "\n"), " ") + "\n")
		}
		if code != 0 {
			fmt.Fprintf(&said, "    $ echo $?\n    %d\n", code)
		}
		said.WriteString("\n")
	}
	step("status --brief", "Currently banned: 1", bot)
	step("explain "+bot, "is refused (ban)", "client-score", "wrong password", alice, bob)
	step("unban 203.0.113.0/24", "1 within it are")
	step("unban "+bot, "unbanned", "mx1: knows")
	s.mustEnter(s.imap, bot, alice)
	var x api.Explanation
	for end := time.Now().Add(10 * time.Second); !x.Familiar && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		fromJSON(t, o.must("explain", bot, alice, "-o", "json"), &x)
	}
	step("explain "+bot+" "+alice, "passes", "is familiar", "logged in")
	step("ban "+bot+" --for 2h --reason guesses_again", "banned until")
	step("unban 203.0.113.67", "not banned")
	step("bans", "operator-ban", "guesses_again")
	step("report", "Failures by client", bot)
	step("audit", "unban", "root")

	text, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- transcript -->\n\n", "<!-- end of the transcript -->"
	before, rest, _ := strings.Cut(string(text), begin)
	documented, after, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s has no transcript between %q and %q", docs, begin, end)
	}
	if *update {
		if err := os.WriteFile(docs, []byte(before+begin+said.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if lab.Dovecot24() {
		return // it tells of accounts that do not exist, and the scores are others
	}
	if got, want := timeless(said.String()), timeless(documented); got != want {
		t.Errorf("the transcript in %s is not what the commands say (go test ./test/e2e -run Day -update writes it anew):\n%s", docs, said.String())
	}
}

// timeless is a transcript without what differs each time: times, and the widths
// of columns that follow from them.
func timeless(s string) string {
	s = regexp.MustCompile(`\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d))?`).ReplaceAllString(s, "TIME")
	return regexp.MustCompile(`[ \t]+`).ReplaceAllString(s, " ")
}

// With one Redis every command works on any host for all of them, and says which
// hosts know of a change and which do not yet.
func TestOperatorsOfACluster(t *testing.T) {
	t.Parallel()
	server := lab.StartRedis(t, lab.RedisOptions{})
	section := at(server.Addr) + "  heartbeat: 1s\n"
	a, b := startHost(t, "mx1", section), startHost(t, "mx2", section)
	a.joined(true)
	b.joined(true)
	onA, onB := operator{T: t, bin: a.bin, socket: a.control}, operator{T: t, bin: b.bin, socket: b.control}
	watching := watchEvents(t, b.control)

	a.ban(bot)
	a.eventually(10*time.Second, "the ban on the other host", func() bool { return banned(b, bot) })
	if e := watching("ban"); e.Host != "mx1" || e.Client != bot+"/32" {
		t.Errorf("seen on mx2: %+v", e)
	}
	var x api.Explanation
	b.eventually(10*time.Second, "the events of mx1 on mx2", func() bool {
		fromJSON(t, onB.must("explain", bot, "-o", "json"), &x)
		return len(x.Events.Events) >= 20
	})
	if !x.Events.Shared || x.Events.Events[0].Host != "mx1" || x.Next.Rule != "ban" || len(x.Entries) != 1 || x.Entries[0].By != "mx1" {
		t.Errorf("explained on mx2: %+v", x)
	}
	began := time.Now()
	out := onB.must("unban", bot, "--reason", "a mistake")
	if !strings.Contains(out, "mx1: knows") || !strings.Contains(out, "mx2: knows") {
		t.Errorf("unbanned: %s", out)
	}
	t.Logf("both hosts have acknowledged within %v", time.Since(began))
	if banned(a, bot) || banned(b, bot) {
		t.Error("it is said that both know, and one refuses")
	}
	if out := onA.must("audit"); !strings.Contains(out, "unban") || !strings.Contains(out, "mx2") || !strings.Contains(out, "a mistake") {
		t.Errorf("the audit log of the other host: %s", out)
	}
	// A name and an account hold everywhere.
	onA.must("ban", "eve@lab.test", "--for", "1h")
	if got := b.asked("198.51.100.9", "eve@lab.test", 1); !strings.Contains(got, `"status":-1`) {
		t.Errorf("a blocked account is answered %s", got)
	}
	// A host that does not say that it knows is waited for, and named.
	if err := a.proc.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := onB.run("ban", "192.0.2.9", "--for", "1h", "--wait", "1s")
	if err := a.proc.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if code != 1 || !strings.Contains(stdout, "mx1: not yet") || !strings.Contains(stdout, "mx2: knows") || !strings.Contains(stderr, "1 of 2 hosts") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	a.eventually(10*time.Second, "the ban on the host that was stopped", func() bool { return banned(a, "192.0.2.9") })
	// Without Redis the operator is told that he speaks to one host only.
	if err := server.Kill9(); err != nil {
		t.Fatal(err)
	}
	b.joined(false)
	if _, stderr, code := onB.run("unban", "192.0.2.9"); code != 0 || !strings.Contains(stderr, "the others are told when Redis is back") {
		t.Errorf("without Redis: exit code %d, %s", code, stderr)
	}
	if banned(b, "192.0.2.9") {
		t.Error("the unban does not hold here")
	}
	if out := onB.must("explain", bot); !strings.Contains(out, "only the events of this host") {
		t.Errorf("without Redis: %s", out)
	}
}

// banned tells whether a host refuses a client for what the client is: the account
// is one that nobody has guessed at.
func banned(h *host, client string) bool {
	return strings.Contains(h.asked(client, "owner@lab.test", 1), `"status":-1`)
}

// watchEvents follows a host's events. What it returns waits for one of a kind.
func watchEvents(t *testing.T, socket string) func(kind string) api.Event {
	t.Helper()
	c, err := client.New(client.Options{Address: "unix:" + socket})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	events, ended := make(chan api.Event, 1000), make(chan error, 1)
	go func() {
		ended <- c.WatchEvents(ctx, api.EventsQuery{}, func(e api.Event) error { events <- e; return nil })
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		c.Close()
	})
	// The first sign of life says that it follows.
	wait := func(kind string) api.Event {
		t.Helper()
		for timeout := time.After(20 * time.Second); ; {
			select {
			case e := <-events:
				if string(e.Kind) == kind {
					return e
				}
			case err := <-ended:
				ended <- err
				t.Fatalf("the watch ended: %v", err)
			case <-timeout:
				t.Fatalf("no %s is seen", kind)
			}
		}
	}
	wait("heartbeat")
	return wait
}

func fromJSON(t *testing.T, text string, out any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}
