package notify

import "time"

// digest is news of one kind that are told together.
type digest struct {
	news []News
	more int // further ones, of which there was no room to keep more than the number
}

// gate lets the first news of a kind through at once, and keeps the others for a
// digest. So a receiver is told of a kind no more than its burst and a digest in
// each period, whatever happens.
type gate struct {
	every time.Duration
	kinds map[Kind]*window
}

// window is a period of a kind that began with its first news.
type window struct {
	until time.Time
	told  int // at once
	digest
}

// maxDigest is how many news a digest shows.
const maxDigest = 20

// take returns the news that are to be told now: none, or this one.
func (g *gate) take(n News, now time.Time) []News {
	w := g.kinds[n.Kind]
	if w == nil {
		w = &window{until: now.Add(g.every)}
		g.kinds[n.Kind] = w
	}
	switch {
	case w.told < n.Kind.burst():
		w.told++
		return []News{n}
	case len(w.news) < maxDigest:
		w.news = append(w.news, n)
	default:
		w.more++
	}
	return nil
}

// due returns the digests whose time has come, or all of them. A period in which
// something had to wait is followed by one in which everything waits: where much
// happens, a digest a period is enough.
func (g *gate) due(now time.Time, all bool) (due []digest) {
	for kind, w := range g.kinds {
		w.until = minTime(w.until, now.Add(g.every)) // the clock was set back, or the period is shorter now
		switch {
		case !all && now.Before(w.until):
		case len(w.news) == 0:
			delete(g.kinds, kind)
		default:
			due = append(due, w.digest)
			g.kinds[kind] = &window{until: now.Add(g.every), told: kind.burst()}
		}
	}
	return due
}

// wait is how long nothing can be due.
func (g *gate) wait(now time.Time) time.Duration {
	wait := g.every
	for _, w := range g.kinds {
		wait = min(wait, w.until.Sub(now))
	}
	return max(wait, time.Millisecond)
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
