package replay

import "slices"

// bounded keeps the statistics of the busiest of many subjects. When there are as
// many as there may be, the lightest quarter goes: an attacker who comes from ever
// new addresses, or invents accounts, pushes out his own.
type bounded[K comparable, S subject] struct {
	subjects map[K]S
	limit    int
	dropped  int // how many are gone
	heaviest int // the most failures of one that is gone
}

// subject is what is kept of one client, network or account.
type subject interface {
	// weight is its failed logins and when the last one was, in Unix milliseconds.
	weight() (failures int, last int64)
}

func newBounded[K comparable, S subject](limit int) *bounded[K, S] {
	return &bounded[K, S]{subjects: map[K]S{}, limit: limit}
}

// add adds a subject that is not there yet.
func (b *bounded[K, S]) add(k K, s S) {
	if len(b.subjects) >= b.limit {
		b.shrink()
	}
	b.subjects[k] = s
}

func (b *bounded[K, S]) shrink() {
	type ranked struct {
		key      K
		failures int
		last     int64
	}
	all := make([]ranked, 0, len(b.subjects))
	for k, s := range b.subjects {
		failures, last := s.weight()
		all = append(all, ranked{k, failures, last})
	}
	slices.SortFunc(all, func(x, y ranked) int {
		if x.failures != y.failures {
			return x.failures - y.failures
		}
		return int(max(min(x.last-y.last, 1), -1))
	})
	for _, r := range all[:max(len(all)/4, 1)] {
		delete(b.subjects, r.key)
		b.dropped++
		b.heaviest = max(b.heaviest, r.failures)
	}
}
