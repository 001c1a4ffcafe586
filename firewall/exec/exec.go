// Package exec brings bans into firewalls that saslguard does not know, by a
// command of the administrator's: it runs as long as the agent does, and is told
// on its standard input, a line each, what to do.
//
//	begin N            N bans follow that are all there are to be
//	ban PREFIX SECONDS bans a prefix, for so long; 0 is for good. It may be banned
//	                   already, and then has a new end
//	end                those were all: what is banned beside them is to be lifted
//	unban PREFIX       lifts the ban of exactly that prefix, if there is one
//	flush              lifts all bans
//	sync N             what came before is done: answer "ok N" on standard output,
//	                   or "error N", with a text
//
// Prefixes have their length, 192.0.2.1/32 or 2001:db8:1:2::/64, and are never
// anything else: they come from saslguard, not from a client. A ban that ends is
// lifted by unban too; the seconds are for firewalls that can end bans while
// nobody runs. When its input ends the command ends, and leaves the bans.
//
// On failure: a command that ends, or does not answer in time, is killed and
// started again, after a pause that grows, and told everything from begin to end.
// What it writes to standard error is logged, cut and as text.
package exec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/firewall"
)

const (
	// shortLife is how long a command has to run for its end to be an accident;
	// one that ends sooner again and again is started ever more seldom.
	shortLife           = 10 * time.Second
	firstWait, lastWait = time.Second, 30 * time.Second
	closeTimeout        = 2 * time.Second
	synced, refused     = "ok", "error"
)

// Backend runs the command. It implements firewall.Backend.
type Backend struct {
	command []string
	timeout time.Duration // for an answer
	log     *zap.Logger
	now     func() time.Time

	process *process // nil: none runs
	number  uint64   // of the last sync
	wait    time.Duration
	next    time.Time // not started before
}

// New returns the backend of a configuration that has passed Check. The command
// is started by the first Replace.
func New(c firewall.ExecConfig, log *zap.Logger) *Backend {
	return &Backend{command: c.Command, timeout: c.Timeout, log: log, now: time.Now}
}

// Name implements firewall.Backend.
func (b *Backend) Name() string { return firewall.Exec }

// Traits implements firewall.Backend: a command knows bans and nothing else.
func (b *Backend) Traits() firewall.Traits { return firewall.Traits{} }

// Replace implements firewall.Backend. It starts the command if none runs.
func (b *Backend) Replace(ctx context.Context, all []firewall.Element) error {
	if err := b.start(); err != nil {
		return err
	}
	var lines bytes.Buffer
	fmt.Fprintf(&lines, "begin %d\n", len(all))
	for _, e := range all {
		b.ban(&lines, e)
	}
	lines.WriteString("end\n")
	return b.tell(ctx, &lines)
}

// Apply implements firewall.Backend.
func (b *Backend) Apply(ctx context.Context, changes []firewall.Change) error {
	var lines bytes.Buffer
	for _, c := range changes {
		if c.Remove {
			fmt.Fprintf(&lines, "unban %s\n", c.Prefix)
		} else {
			b.ban(&lines, c.Element)
		}
	}
	return b.tell(ctx, &lines)
}

// ban writes the line of a ban. Its seconds are rounded up; one that is over, or
// as good as, has one second.
func (b *Backend) ban(lines *bytes.Buffer, e firewall.Element) {
	seconds := int64(0)
	if !e.Until.IsZero() {
		seconds = max(int64((e.Until.Sub(b.now())+time.Second-1)/time.Second), 1)
	}
	fmt.Fprintf(lines, "ban %s %d\n", e.Prefix, seconds)
}

// tell writes lines and waits until the command says that they are done.
func (b *Backend) tell(ctx context.Context, lines *bytes.Buffer) error {
	if b.process == nil {
		return errors.New("the command does not run")
	}
	b.number++
	number := strconv.FormatUint(b.number, 10)
	lines.WriteString("sync " + number + "\n")
	deadline := time.Now().Add(b.timeout)
	if late, ok := ctx.Deadline(); ok && late.Before(deadline) {
		deadline = late
	}
	err := b.process.tell(ctx, lines.Bytes(), number, deadline)
	if err == nil {
		return nil
	}
	var said refusal
	if errors.As(err, &said) {
		return fmt.Errorf("%s: %w", b.command[0], err) // it lives, and is told everything anew
	}
	b.end()
	return fmt.Errorf("%s: %w", b.command[0], err)
}

// start starts the command if none runs.
func (b *Backend) start() error {
	if b.process != nil && b.process.alive() {
		return nil
	}
	b.end()
	if left := time.Until(b.next); left > 0 {
		return fmt.Errorf("%s ends again and again; it is started in %v", b.command[0], left.Round(time.Second))
	}
	p, err := startProcess(b.command, b.log)
	if err != nil {
		b.delay(0)
		return err
	}
	b.process = p
	b.log.Info("the firewall's command runs", zap.Strings("command", b.command), zap.Int("pid", p.cmd.Process.Pid))
	return nil
}

// end ends the command, if one runs or has run.
func (b *Backend) end() {
	if b.process == nil {
		return
	}
	b.delay(time.Since(b.process.began))
	b.process.kill()
	b.process = nil
}

// delay works out when the command may be started again.
func (b *Backend) delay(lived time.Duration) {
	if lived >= shortLife {
		b.wait, b.next = 0, time.Time{}
		return
	}
	b.wait = min(max(2*b.wait, firstWait), lastWait)
	b.next = time.Now().Add(b.wait)
}

// Intact implements firewall.Backend.
func (b *Backend) Intact(context.Context) (string, error) {
	if b.process == nil || !b.process.alive() {
		return "the command (it has ended)", nil
	}
	return "", nil
}

// Remove implements firewall.Backend. A command that has ended is started again for
// it: service managers end it at the same moment as saslguard.
func (b *Backend) Remove(ctx context.Context) error {
	if err := b.start(); err != nil {
		return err
	}
	return b.tell(ctx, bytes.NewBufferString("flush\n"))
}

// Close implements firewall.Backend: the command's input ends, and it has a
// moment to end as well.
func (b *Backend) Close(context.Context) error {
	if b.process != nil {
		b.process.close(closeTimeout)
		b.process = nil
	}
	return nil
}
