package dovecotpolicy

import (
	"context"
	"sync"
	"time"
)

// deadline is a context that ends at a time, as context.WithDeadline makes, but
// starts its timer only when somebody waits for it. Most questions are answered
// from memory and nobody does; they would spend more time on the timer than on
// the answer.
type deadline struct {
	at time.Time

	mu     sync.Mutex
	armed  context.Context // nil: nobody has waited
	cancel context.CancelFunc
	ended  bool
}

var _ context.Context = (*deadline)(nil)

// Deadline implements context.Context.
func (d *deadline) Deadline() (time.Time, bool) { return d.at, true }

// Done implements context.Context.
func (d *deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.armed == nil {
		d.armed, d.cancel = context.WithDeadline(context.Background(), d.at)
		if d.ended {
			d.cancel()
		}
	}
	return d.armed.Done()
}

// Err implements context.Context.
func (d *deadline) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.armed != nil:
		return d.armed.Err()
	case d.ended:
		return context.Canceled
	case !time.Now().Before(d.at):
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// Value implements context.Context. It is that of the context inside, by which
// package context finds that it needs no goroutine to follow this one.
func (d *deadline) Value(key any) any {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.armed == nil {
		return nil
	}
	return d.armed.Value(key)
}

// end ends the context and frees what it holds.
func (d *deadline) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	if d.cancel != nil {
		d.cancel()
	}
}
