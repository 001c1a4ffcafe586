package replay

import (
	"sync/atomic"

	"github.com/saslguard/saslguard/guard"
)

// batch is attempts of one log that are handed on together. Whoever has a part of it
// holds it; when nobody does any more it goes back to be filled again.
type batch struct {
	attempts []guard.Attempt
	holders  atomic.Int32
	home     chan<- *batch
}

// empty returns a batch without attempts.
func (s *stream) empty() *batch {
	select {
	case b := <-s.spare:
		b.attempts = b.attempts[:0]
		return b
	default:
		return &batch{attempts: make([]guard.Attempt, 0, batchAttempts), home: s.spare}
	}
}

// hold makes n more holders.
func (b *batch) hold(n int) { b.holders.Add(int32(n)) }

// release makes one less.
func (b *batch) release() {
	if b.holders.Add(-1) > 0 {
		return
	}
	select {
	case b.home <- b:
	default: // there are enough
	}
}

// part is some of a batch's attempts.
type part struct {
	attempts []guard.Attempt
	of       *batch
}
