package replay

import (
	"context"
	"time"
)

// maxOpen is how many logs are read at the same time. Rotated logs follow each
// other; those of several hosts overlap.
const maxOpen = 32

// merger puts the attempts of logs in the order of their times. A log is begun when
// the others have come to its first line.
type merger struct {
	waiting []*stream // by their first lines
	open    []*stream
	start   func(*stream)
	emit    func(part) error // to so many readers, each of which releases the part's batch
	readers int
}

// run hands on the attempts of all logs.
func (m *merger) run(ctx context.Context) error {
	for {
		first, second := m.foremost(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		if first == nil {
			if len(m.waiting) == 0 {
				return nil
			}
			m.begin()
			continue
		}
		if len(m.waiting) > 0 && len(m.open) < maxOpen && !m.waiting[0].log.First().After(first.head[0].At) {
			m.begin()
			continue
		}
		if err := m.emit(first.cut(m.limit(second), m.readers)); err != nil {
			return err
		}
	}
}

// begin opens the next log.
func (m *merger) begin() {
	s := m.waiting[0]
	m.waiting = m.waiting[1:]
	m.open = append(m.open, s)
	m.start(s)
}

// foremost returns the log with the earliest attempt and the one with the earliest
// after that, nil where there is none. Logs that have ended are dropped.
func (m *merger) foremost(ctx context.Context) (first, second *stream) {
	kept := m.open[:0]
	for _, s := range m.open {
		a := s.next(ctx)
		if a == nil {
			continue
		}
		kept = append(kept, s)
		switch {
		case first == nil || a.At.Before(first.head[0].At):
			first, second = s, first
		case second == nil || a.At.Before(second.head[0].At):
			second = s
		}
	}
	clear(m.open[len(kept):])
	m.open = kept
	return first, second
}

// limit is the time up to which the foremost log may be handed on as it is; zero:
// there is no other.
func (m *merger) limit(second *stream) time.Time {
	var limit time.Time
	if second != nil {
		limit = second.head[0].At
	}
	if len(m.waiting) > 0 && len(m.open) < maxOpen {
		if next := m.waiting[0].log.First(); limit.IsZero() || next.Before(limit) {
			limit = next
		}
	}
	return limit
}

// cut takes what is not after a limit from the head, and one attempt at least. The part
// is held for whoever gets it.
func (s *stream) cut(limit time.Time, holders int) part {
	n := len(s.head)
	if !limit.IsZero() {
		for n = 1; n < len(s.head) && !s.head[n].At.After(limit); n++ {
		}
	}
	taken := part{s.head[:n:n], s.current}
	s.head = s.head[n:]
	s.current.hold(holders)
	if len(s.head) == 0 {
		s.current.release()
	}
	return taken
}
