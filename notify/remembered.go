package notify

import "time"

// remembered holds values of keys for a while, and not more than it may: of two
// generations the older is forgotten when the younger is old or full. A value lives
// for life at least, unless there are too many, and for twice as long at most.
type remembered[V any] struct {
	life     time.Duration
	size     int // of a generation
	now, old map[uint64]V
	since    time.Time // when the present generation began
}

func (m *remembered[V]) get(key uint64, now time.Time) (V, bool) {
	m.turn(now)
	v, ok := m.now[key]
	if !ok {
		v, ok = m.old[key]
	}
	return v, ok
}

func (m *remembered[V]) set(key uint64, v V, now time.Time) {
	m.turn(now)
	if m.now == nil {
		m.now, m.since = map[uint64]V{}, now
	}
	m.now[key] = v
	if len(m.now) >= m.size {
		m.now, m.old, m.since = nil, m.now, now
	}
}

func (m *remembered[V]) forget(key uint64) {
	delete(m.now, key)
	delete(m.old, key)
}

// turn begins a new generation when it is time. A clock that was set back begins
// anew.
func (m *remembered[V]) turn(now time.Time) {
	switch age := now.Sub(m.since); {
	case age < 0 || age > 2*m.life:
		m.now, m.old, m.since = nil, nil, now
	case age > m.life:
		m.now, m.old, m.since = nil, m.now, m.since.Add(m.life)
	}
}
