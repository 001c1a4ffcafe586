package exec

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

const (
	maxAnswer = 1 << 10 // octets of a line of the command's
	answers   = 16      // lines that wait to be read
	outputEnd = time.Second
)

// process is a command that runs.
type process struct {
	cmd     *osexec.Cmd
	stdin   *os.File
	answers chan string   // lines of its standard output
	exited  chan struct{} // closed when it is gone
	err     error         // why, once exited is closed
	began   time.Time
}

// refusal is what the command says of what it could not do.
type refusal string

func (r refusal) Error() string { return "it says: " + string(r) }

// startProcess starts a command in a process group of its own, so that what it
// starts ends with it.
func startProcess(command []string, log *zap.Logger) (*process, error) {
	in, stdin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stdout, out, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close(), stdin.Close())
	}
	stderr, complaints, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close(), stdin.Close(), stdout.Close(), out.Close())
	}
	p := &process{
		cmd: osexec.Command(command[0], command[1:]...), stdin: stdin,
		answers: make(chan string, answers), exited: make(chan struct{}), began: time.Now(),
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = in, out, complaints
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = p.cmd.Start()
	err = errors.Join(err, in.Close(), out.Close(), complaints.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the firewall's command cannot be started: %w", err), stdin.Close(), stdout.Close(), stderr.Close())
	}
	go p.read(stdout)
	go complain(stderr, log)
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// read hands on what the command answers; what nobody waits for is dropped.
func (p *process) read(stdout *os.File) {
	defer stdout.Close()
	in := bufio.NewScanner(stdout)
	in.Buffer(nil, maxAnswer)
	for in.Scan() {
		select {
		case p.answers <- in.Text():
		default:
		}
	}
	_, _ = io.Copy(io.Discard, stdout) // a line too long ends the talk, not the command
}

// complain logs what the command writes to standard error.
func complain(stderr *os.File, log *zap.Logger) {
	defer stderr.Close()
	in := bufio.NewReaderSize(stderr, maxAnswer)
	for {
		line, _, err := in.ReadLine() // a long line comes in parts
		if err != nil {
			return
		}
		log.Warn("the firewall's command says", zap.String("said", store.Printable(string(line))))
	}
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// tell writes lines, of which the last is the sync of that number, and waits for
// its answer.
func (p *process) tell(ctx context.Context, lines []byte, number string, deadline time.Time) error {
	timed, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if err := p.stdin.SetWriteDeadline(deadline); err != nil {
		return err
	}
	// Who is told to stop does not wait for a command that does not read.
	written := context.AfterFunc(ctx, func() { _ = p.stdin.SetWriteDeadline(time.Unix(1, 0)) })
	defer written()
	if _, err := p.stdin.Write(lines); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errors.New("it does not read what it is told")
		}
		return p.ended(err)
	}
	for {
		select {
		case line := <-p.answers:
			if done, _, err := answered(line, number); done || err != nil {
				return err
			}
		case <-p.exited:
			return p.ended(nil)
		case <-timed.Done():
			return errors.New("it does not answer to sync")
		}
	}
}

// answered tells what a line answers to the sync of a number: that it is done, or
// why not. about is false for something else that the command has to say, and for
// the answer to an earlier sync.
func answered(line, number string) (done, about bool, err error) {
	word, rest, _ := strings.Cut(line, " ")
	said, text, _ := strings.Cut(rest, " ")
	switch {
	case said != number:
	case word == synced:
		return true, true, nil
	case word == refused:
		return false, true, refusal(store.Printable(text))
	}
	return false, false, nil
}

// ended says how a command has ended that should not have.
func (p *process) ended(err error) error {
	select {
	case <-p.exited:
		if p.err == nil {
			return errors.New("it has ended")
		}
		return fmt.Errorf("it has ended: %w", p.err)
	case <-time.After(outputEnd):
		return fmt.Errorf("it cannot be told: %w", err)
	}
}

// kill ends the command and all that it has started.
func (p *process) kill() {
	_ = p.stdin.Close()
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.exited
}

// close ends the input and gives the command some time to end.
func (p *process) close(within time.Duration) {
	_ = p.stdin.Close()
	select {
	case <-p.exited:
	case <-time.After(within):
	}
	p.kill()
}
