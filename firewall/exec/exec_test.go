package exec

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/saslguard/saslguard/firewall"
	"github.com/saslguard/saslguard/test/fuzzing"
)

// script writes a command for /bin/sh that keeps what it is told in the file $log.
func script(t *testing.T, body string) (command []string, log string) {
	t.Helper()
	dir := t.TempDir()
	log = filepath.Join(dir, "log")
	path := filepath.Join(dir, "command")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nlog="+log+"\n"+body), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{path}, log
}

const obedient = `while read -r word a b; do
	echo $word $a $b >>$log
	[ $word = sync ] && echo "ok $a"
done
echo the end >>$log
`

func open(t *testing.T, command []string, timeout time.Duration) (*Backend, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	b := New(firewall.ExecConfig{Command: command, Timeout: timeout}, zap.New(core))
	b.now = func() time.Time { return time.Unix(1000, 0) }
	t.Cleanup(func() { b.Close(context.Background()) })
	return b, logs
}

func ban(prefix string, seconds int64) firewall.Element {
	e := firewall.Element{Layer: firewall.Ban, Prefix: netip.MustParsePrefix(prefix)}
	if seconds != 0 {
		e.Until = time.Unix(1000+seconds, 0)
	}
	return e
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

func TestWords(t *testing.T) {
	t.Parallel()
	command, log := script(t, obedient)
	b, _ := open(t, command, 10*time.Second)
	if err := b.Apply(t.Context(), nil); err == nil {
		t.Error("a command that does not run is told something")
	}
	if missing, _ := b.Intact(t.Context()); missing == "" {
		t.Error("before it runs nothing is missing")
	}
	for _, err := range []error{
		b.Replace(t.Context(), []firewall.Element{ban("192.0.2.1/32", 3600), ban("2001:db8:1:2::/64", 0), ban("198.51.100.0/24", -5)}),
		b.Apply(t.Context(), []firewall.Change{{Remove: true, Element: ban("192.0.2.1/32", 0)}, {Element: ban("192.0.2.2/32", 60)}}),
		b.Remove(t.Context()),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if missing, err := b.Intact(t.Context()); missing != "" || err != nil {
		t.Errorf("missing is %q, %v", missing, err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	const want = "begin 3\nban 192.0.2.1/32 3600\nban 2001:db8:1:2::/64 0\nban 198.51.100.0/24 1\nend\nsync 1\n" +
		"unban 192.0.2.1/32\nban 192.0.2.2/32 60\nsync 2\nflush\nsync 3\nthe end\n"
	if got := read(t, log); got != want {
		t.Errorf("the command was told\n%swant\n%s", got, want)
	}
}

// Commands that fail, each in its way: none holds anything up, all are said.
func TestFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, want string }{
		"does not answer":   {"cat >/dev/null\n", "it does not answer to sync"},
		"answers another":   {"while read -r w a b; do [ $w = sync ] && echo ok 99; done\n", "it does not answer to sync"},
		"refuses":           {"while read -r w a b; do [ $w = sync ] && echo \"error $a the set\ris full\"; done\n", "it says: the set?is full"},
		"ends":              {"read -r x\nexit 3\n", "exit status 3"},
		"ends at once":      {"exit 0\n", "it has ended"},
		"does not read":     {"sleep 100\n", "it does not "},
		"floods":            {"yes | head -c 100000\ncat >/dev/null\n", "it does not answer to sync"},
		"one endless line":  {"head -c 100000 /dev/zero | tr '\\0' x\ncat >/dev/null\n", "it does not answer to sync"},
		"closes its output": {"exec >&-\ncat >/dev/null\n", "it does not answer to sync"},
		"ignores the end":   {"trap '' HUP INT TERM PIPE\nwhile :; do sleep 1; done\n", "it does not "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command, _ := script(t, c.body)
			wait := 30 * time.Second
			if strings.HasPrefix(c.want, "it does not") {
				wait = time.Second // for what never comes
			}
			b, _ := open(t, command, wait)
			var all []firewall.Element
			for i := range 20_000 { // more than a pipe holds
				all = append(all, ban(fmt.Sprintf("100.64.%d.%d/32", i>>8, i&255), 60))
			}
			began := time.Now()
			err := b.Replace(t.Context(), all)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if took := time.Since(began); took > 25*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	b, _ := open(t, []string{"/nonexistent/command"}, time.Second)
	if err := b.Replace(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "cannot be started") {
		t.Errorf("without a command: %v", err)
	}
	if err := b.Replace(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "again and again") {
		t.Errorf("tried again at once: %v", err)
	}
}

// A command that dies is started again, and told everything; what it complains of
// is logged, cut and printable.
func TestItIsStartedAgain(t *testing.T) {
	t.Parallel()
	command, log := script(t, "printf 'bad\\033[31mnews%2000s\\n' x >&2\n"+obedient)
	b, logs := open(t, command, 10*time.Second)
	if err := b.Replace(t.Context(), []firewall.Element{ban("192.0.2.1/32", 0)}); err != nil {
		t.Fatal(err)
	}
	b.process.kill()
	if missing, _ := b.Intact(t.Context()); missing == "" {
		t.Error("nobody notices that it is dead")
	}
	if err := b.Apply(t.Context(), []firewall.Change{{Element: ban("192.0.2.2/32", 0)}}); err == nil {
		t.Error("a dead command is told something")
	}
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = b.Replace(t.Context(), []firewall.Element{ban("192.0.2.3/32", 0)}); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, log); !strings.HasSuffix(got, "begin 1\nban 192.0.2.3/32 0\nend\nsync 3\n") {
		t.Errorf("it was told\n%s", got)
	}
	said := logs.FilterMessage("the firewall's command says").All()
	if len(said) == 0 {
		t.Fatal("nothing that it said is logged")
	}
	for _, e := range said {
		if text := e.ContextMap()["said"].(string); len(text) > 256 || strings.ContainsAny(text, "\x1b\n") {
			t.Errorf("logged is %q", text)
		}
	}
}

// What the command was told to keep out is lifted at the stop also when a service
// manager has ended the command with saslguard.
func TestRemoveStartsIt(t *testing.T) {
	t.Parallel()
	command, log := script(t, obedient)
	b, _ := open(t, command, 10*time.Second)
	if err := b.Replace(t.Context(), []firewall.Element{ban("192.0.2.1/32", 0)}); err != nil {
		t.Fatal(err)
	}
	b.process.began = time.Now().Add(-time.Hour) // it was no accident at the start
	b.process.kill()
	if err := b.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := read(t, log); !strings.HasSuffix(got, "flush\nsync 2\n") {
		t.Errorf("it was told\n%s", got)
	}
}

// Whoever stops does not wait until a command reads.
func TestAStopDoesNotWait(t *testing.T) {
	t.Parallel()
	command, _ := script(t, "sleep 100\n")
	b, _ := open(t, command, 50*time.Second)
	var all []firewall.Element
	for i := range 20_000 { // more than a pipe holds
		all = append(all, ban(fmt.Sprintf("100.64.%d.%d/32", i>>8, i&255), 60))
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	began := time.Now()
	if err := b.Replace(ctx, all); err == nil {
		t.Error("nobody has read it")
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// FuzzAnswers holds that nothing a command writes is taken for an answer but one.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{"ok 1", "ok 1 fine", "error 1 no", "ok", "ok 2", " ok 1", "OK 1", "ok\t1", "error 1", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		done, about, err := answered(line, "1")
		if want := line == "ok 1" || strings.HasPrefix(line, "ok 1 "); done != want {
			t.Errorf("%q is done: %v", line, done)
		}
		if want := line == "error 1" || strings.HasPrefix(line, "error 1 "); (err != nil) != want {
			t.Errorf("%q is an error: %v", line, err)
		}
		if (done || err != nil) != about || err != nil && len(err.Error()) > 300 {
			t.Errorf("%q is about us: %v, %v", line, about, err)
		}
	})
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
