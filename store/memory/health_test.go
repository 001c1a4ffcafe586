package memory

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"go.uber.org/zap/zaptest/observer"
)

func TestHealth(t *testing.T) {
	s := open(t, testConfig(), quick("", newClock()))
	if ok, detail := s.Health(); !ok || detail != "memory only" {
		t.Errorf("without a file: %v %q", ok, detail)
	}
	path := filepath.Join(t.TempDir(), "state.db")
	log, logs := watched()
	c := newClock()
	opts := quick(path, c)
	opts.Logger = log
	s = open(t, testConfig(), opts)
	if ok, detail := s.Health(); !ok || detail != path {
		t.Errorf("at first: %v %q", ok, detail)
	}
	fill(t, s, 50)
	broken := errors.New("no space left on device\n" + strings.Repeat("x", 300))
	fail := func() { _ = s.file.Update(func(*bbolt.Tx) error { return broken }) }
	fail()
	if ok, detail := s.Health(); ok || detail != path+": no space left on device" {
		t.Errorf("after an error: %v %q", ok, detail)
	}
	// A single write that succeeds says nothing: another may not.
	put(t, s, mine(1))
	if ok, _ := s.Health(); ok || again(logs) != 0 {
		t.Error("well again after a single write")
	}
	before := s.file.Failures()
	fail()
	if err := s.file.Settle(before); err != nil {
		t.Fatal(err)
	}
	if ok, _ := s.Health(); ok || again(logs) != 0 {
		t.Error("well again after a round in which a write failed")
	}
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	if ok, detail := s.Health(); !ok || detail != path || again(logs) != 1 {
		t.Errorf("after a whole round: %v %q, told %d times", ok, detail, again(logs))
	}
	if n := logs.FilterMessageSnippet("cannot be written").Len(); n != 1 {
		t.Errorf("the failure was told %d times", n)
	}
}

func again(logs *observer.ObservedLogs) int {
	return logs.FilterMessageSnippet("can be written again").Len()
}

// On a disk that is full while the store is closed, nothing is said to be well.
func TestAFullDiskIsNotWellAtTheEnd(t *testing.T) {
	log, logs := watched()
	opts := quick(filepath.Join(t.TempDir(), "state.db"), newClock())
	opts.Logger = log
	s := open(t, Config{Subjects: 1_000_000, Bans: 1000, Familiar: 1000}, opts)
	s.file.DB.MaxSize = 1 // the file cannot grow, and what is free in it can be used
	for n := range 60_000 {
		for i := range 3 {
			recordFailure(t, s, stranger(n), i)
		}
	}
	if err := s.flush(); err == nil {
		t.Fatal("the flush does not fail")
	}
	put(t, s, mine(1))
	if err := s.flush(); err == nil {
		t.Fatal("the second flush does not fail")
	}
	if ok, _ := s.Health(); ok || again(logs) != 0 {
		t.Error("well again")
	}
	s.file.DB.MaxSize = 0
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	if ok, _ := s.Health(); !ok || again(logs) != 1 {
		t.Error("not well again")
	}
}
