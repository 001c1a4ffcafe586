package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestProcessLines(t *testing.T) {
	p := StartProcess(t, "/bin/sh", []string{"-c", "echo out; echo $LAB >&2; printf last; exec sleep 60"}, []string{"LAB=from the environment"})
	for _, want := range []string{"out", "from the environment"} {
		if line, err := p.WaitLine(want, 5*time.Second); err != nil || line != want {
			t.Errorf("WaitLine(%q) = %q, %v", want, line, err)
		}
	}
	if _, err := p.WaitLine("never", 20*time.Millisecond); err == nil || !strings.Contains(err.Error(), "within") {
		t.Errorf("WaitLine for what never comes: %v", err)
	}
	if err := p.Stop(5 * time.Second); err != nil {
		t.Error(err)
	}
	if !strings.HasSuffix(p.Output(), "last") && !strings.Contains(p.Output(), "last\n") {
		t.Errorf("the line without its end is lost: %q", p.Output())
	}
}

func TestProcessThatEndsByItself(t *testing.T) {
	p := StartProcess(t, "/bin/sh", []string{"-c", "echo bye; exit 3"}, nil)
	begin := time.Now()
	if _, err := p.WaitLine("never", time.Minute); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("err = %v, want exit status 3", err)
	}
	if time.Since(begin) > 10*time.Second {
		t.Error("WaitLine waited for a process that had ended")
	}
	if p.ExitCode() != 3 {
		t.Errorf("ExitCode = %d, want 3", p.ExitCode())
	}
}

// Children are killed too, when a process is killed and when it will not stop.
func TestProcessGroupEnds(t *testing.T) {
	const script = `trap "" TERM; sleep 60 & sleep 60 & echo ready; while :; do sleep 1; done`
	for name, end := range map[string]func(p *Process) error{
		"kill": (*Process).Kill9,
		"stop": func(p *Process) error {
			if err := p.Stop(50 * time.Millisecond); err == nil {
				t.Error("Stop says nothing of a process it had to kill")
			}
			return nil
		},
	} {
		p := StartProcess(t, "/bin/sh", []string{"-c", script}, nil)
		if _, err := p.WaitLine("ready", 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if len(groupMembers(p.PID())) < 3 {
			t.Errorf("%s: the group is %v, want a shell and two sleeps", name, groupMembers(p.PID()))
		}
		if err := end(p); err != nil {
			t.Error(err)
		}
		if left := groupMembers(p.PID()); len(left) > 0 {
			t.Errorf("%s: %v are left", name, left)
		}
	}
}

// childEnv makes this test binary the one that dies.
const childEnv = "LAB_TEST_CHILD"

// When the test binary is killed no cleanup runs, and yet nothing stays.
func TestTestBinaryDies(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		p := StartProcess(t, "/bin/sh", []string{"-c", "sleep 60 & echo ready; sleep 60"}, nil)
		if _, err := p.WaitLine("ready", 5*time.Second); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("group=%d\n", p.PID())
		select {}
	}
	child := StartProcess(t, os.Args[0], []string{"-test.run=^TestTestBinaryDies$"}, []string{childEnv + "=1"})
	line, err := child.WaitLine("group=", 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	group, err := strconv.Atoi(strings.TrimPrefix(line, "group="))
	if err != nil || len(groupMembers(group)) < 2 {
		t.Fatalf("%q, %v: the group is %v", line, err, groupMembers(group))
	}
	if err := child.Kill9(); err != nil {
		t.Fatal(err)
	}
	if err := eventually(5*time.Second, func() error {
		if left := groupMembers(group); len(left) > 0 {
			return fmt.Errorf("%v are left", left)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestSignal(t *testing.T) {
	p := StartProcess(t, "/bin/sh", []string{"-c", `trap "echo got it" USR1; echo ready; while :; do sleep 0.05; done`}, nil)
	if _, err := p.WaitLine("ready", 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGUSR1); err != nil { // not SIGHUP: under nohup no shell can trap it
		t.Fatal(err)
	}
	if _, err := p.WaitLine("got it", 5*time.Second); err != nil {
		t.Error(err)
	}
}

func TestParseStat(t *testing.T) {
	state, pgid, ok := parseStat([]byte("42 (a) Z 7 (b)) S 1 4711 4711 0"))
	if !ok || state != 'S' || pgid != 4711 {
		t.Errorf("parseStat = %c %d %v", state, pgid, ok)
	}
}

func TestBuildOnce(t *testing.T) {
	// A small command of the standard library stands for the program.
	const pkg = "cmd/pack"
	first, err := build(t, pkg)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	second, err := build(t, pkg)
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(second)
	if err != nil {
		t.Fatal(err)
	}
	if first != second || !before.ModTime().Equal(after.ModTime()) || filepath.Dir(first) != processDir() {
		t.Errorf("built twice: %s and %s", first, second)
	}
}
