package boltfile

import (
	"errors"
	"strings"
	"sync"
	"unicode/utf8"

	"go.etcd.io/bbolt"
)

// Health tells whether what is written reaches the disk, and in a few words which
// file that is, or why it does not.
func (f *File) Health() (ok bool, detail string) {
	err := f.health.trouble()
	if err == nil {
		return true, f.path
	}
	detail = err.Error()
	if !strings.Contains(detail, f.path) {
		detail = f.path + ": " + detail
	}
	return false, short(detail)
}

// short cuts a text to what fits into a line.
func short(text string) string {
	const limit = 200
	text, _, _ = strings.Cut(text, "\n")
	if len(text) <= limit {
		return text
	}
	cut := limit
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut]
}

// health is how writes go.
type health struct {
	mu       sync.Mutex
	err      error // of the latest write that failed, since a round without failures
	failures int   // writes that ever failed
	broken   bool  // a write panicked: bbolt's state is unknown
}

// failed notes an error and tells whether it is the first.
func (h *health) failed(err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := h.err == nil
	h.err = err
	h.failures++
	h.broken = h.broken || errors.Is(err, errPanic)
	return first
}

// recovered notes a round of writes, which began when so many had failed, and
// tells whether it has ended a trouble.
func (h *health) recovered(failures int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil || h.failures != failures {
		return false
	}
	h.err = nil
	return true
}

func (h *health) trouble() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

func (h *health) isBroken() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.broken
}

// Failures is how many writes have failed so far.
func (f *File) Failures() int {
	f.health.mu.Lock()
	defer f.health.mu.Unlock()
	return f.health.failures
}

// Settle ends a round of writes that began when so many had failed. On a full
// disk some writes succeed and others do not: only a whole round in which
// nothing failed, and at least one write was tried, says that it is well again.
func (f *File) Settle(failures int) error {
	if f.health.trouble() == nil {
		return nil
	}
	if err := f.Update(func(*bbolt.Tx) error { return nil }); err != nil {
		return err
	}
	if f.health.recovered(failures) {
		f.options.Logger.Info("the " + f.options.What + " can be written again")
	}
	return nil
}
