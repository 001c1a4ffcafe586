package eventlog

import (
	"context"
	"encoding/json"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

// Shared is where all hosts write their events: a capped stream of texts, each
// with an id that is greater than those before it.
type Shared interface {
	// Append writes texts, and lets go of the oldest beyond max and keep.
	Append(ctx context.Context, texts [][]byte, max int, keep time.Duration) error
	// Before returns at most so many texts before an id, the latest first; "" is
	// the end.
	Before(ctx context.Context, id string, count int) ([]store.Line, error)
	// After returns at most so many texts after an id, the oldest first.
	After(ctx context.Context, id string, count int) ([]store.Line, error)
	// End is the id of the latest text.
	End(ctx context.Context) (string, error)
}

const (
	shareBatch = 512
	shareTime  = 2 * time.Second // for one batch
	sharePause = time.Second     // after one that failed
	// shareEvery is how often the few are written: several at once cost less, and
	// whoever looks on reads them three times a second.
	shareEvery = 200 * time.Millisecond
	maxEvent   = 8 << 10 // octets; a longer one is not ours
)

// collect takes the next events that the other hosts have not been told of.
func (l *Log) collect() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(l.unshared, shareBatch)
	batch := l.oldest(n, l.unshared)
	l.unshared -= n
	return batch
}

// shareAll shares what there is, until ctx ends.
func (l *Log) shareAll(ctx context.Context) {
	for {
		batch := l.collect()
		if len(batch) == 0 {
			return
		}
		if !l.share(ctx, batch) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.unshared = min(l.unshared+len(batch), len(l.ring)) // for leave
			return
		}
	}
}

// gather lets events come together before they are shared.
func (l *Log) gather(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(shareEvery):
	}
}

// share writes a batch to where all hosts read it. While that fails the batch is
// kept, and what is too much meanwhile is dropped. It tells whether it came
// to be before ctx ended.
func (l *Log) share(ctx context.Context, batch []Event) bool {
	texts := encode(batch)
	for ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, shareTime)
		err := l.shared.Append(limited, texts, l.config.Max, l.config.Keep)
		cancel()
		if err == nil {
			l.silent.Store(false)
			return true
		}
		if ctx.Err() == nil && !l.silent.Swap(true) {
			l.log.Warn("the other hosts do not hear of this host's events; it is tried again", zap.Error(err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(sharePause):
		}
	}
	return false
}

// decode reads an event that another host has written; false if it is none.
func decode(t *store.Line) (e Event, ok bool) {
	if len(t.Text) > maxEvent || json.Unmarshal(t.Text, &e) != nil || e.At.IsZero() || e.Kind == "" {
		return Event{}, false
	}
	e.bound()
	return e, true
}

// bound holds texts that came from elsewhere to what this host would write.
func (e *Event) bound() {
	for _, s := range []*string{
		(*string)(&e.Kind), &e.Host, &e.Via, &e.Service, &e.Mechanism, &e.Address, &e.Client, &e.Network, &e.From,
		&e.Account, &e.Outcome, &e.Action, &e.Would, &e.Rule, &e.Reason, &e.By,
	} {
		*s = line(*s)
	}
	e.Count = max(e.Count, 1)
}
