package eventlog

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Page is what was found.
type Page struct {
	Events []Event // oldest first
	// Since is how far back everything is known: of what was before, some or all is
	// gone. Zero where nothing is kept at all.
	Since time.Time
	// Shared tells whether the events are those of all hosts.
	Shared bool
	// Note says in a sentence why something is missing, "" if nothing is.
	Note string
	// More tells whether there were more than was asked for.
	More bool
}

const (
	readPage = 1000
	readTime = 5 * time.Second
	pollTime = 300 * time.Millisecond
)

// Read returns the latest events that a filter wants, at most limit.
func (l *Log) Read(ctx context.Context, f Filter, limit int) Page {
	if l == nil {
		return Page{Note: "no events are kept (events.keep is 0)"}
	}
	f.names = l.names.All(f.Account)
	limited, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	select {
	case l.reading <- struct{}{}:
		defer func() { <-l.reading }()
	case <-limited.Done():
		return Page{Note: "too many read the events at once; ask again"}
	}
	if l.shared == nil {
		return l.own(limited, f, limit)
	}
	p, err := l.all(limited, f, limit)
	if err != nil {
		p = l.own(limited, f, limit)
		p.Note = "only the events of this host: those of the others cannot be read now"
	}
	return p
}

// own reads this host's events.
func (l *Log) own(ctx context.Context, f Filter, limit int) Page {
	note := ""
	select {
	case <-l.restored:
	case <-ctx.Done():
		note = "what happened before saslguard started is still being read; ask again"
	}
	l.turn(false)
	l.mu.Lock()
	all, began := l.ordered(), l.began
	l.mu.Unlock()
	oldest := l.now().Add(-l.config.Keep).UTC()
	p := Page{Since: began, Note: note}
	if began.Before(oldest) {
		p.Since = oldest
	}
	for i := len(all) - 1; i >= 0 && !all[i].At.Before(oldest); i-- {
		if !f.match(&all[i]) {
			continue
		}
		if len(p.Events) == limit {
			p.More = true
			break
		}
		p.Events = append(p.Events, all[i])
	}
	slices.Reverse(p.Events)
	return p
}

// all reads the events of all hosts, page by page from the end.
func (l *Log) all(ctx context.Context, f Filter, limit int) (Page, error) {
	p := Page{Shared: true, Since: l.now().UTC()}
	oldest := l.now().Add(-l.config.Keep)
	for id, read := "", 0; read < 2*l.config.Max; {
		texts, err := l.shared.Before(ctx, id, readPage)
		if err != nil {
			return Page{}, err
		}
		for i := range texts {
			e, ok := decode(&texts[i])
			if !ok || e.At.Before(oldest) {
				continue
			}
			if e.At.Before(p.Since) {
				p.Since = e.At
			}
			if !f.match(&e) || p.More {
				continue
			}
			if p.More = len(p.Events) == limit; !p.More {
				p.Events = append(p.Events, e)
			}
		}
		read += len(texts)
		if len(texts) < readPage || !f.Since.IsZero() && p.Since.Before(f.Since) {
			break
		}
		id = texts[len(texts)-1].ID
	}
	slices.SortStableFunc(p.Events, func(a, b Event) int { return a.At.Compare(b.At) })
	return p, nil
}

// Follow calls f with what happens from now on, until ctx ends, f fails or does
// not keep up.
func (l *Log) Follow(ctx context.Context, want Filter, f func(Event) error) error {
	if l == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	want.names = l.names.All(want.Account)
	each := func(e *Event) error {
		if !want.match(e) {
			return nil
		}
		return f(*e)
	}
	if l.shared != nil {
		return l.followAll(ctx, each)
	}
	me := &follower{queue: make(chan Event, followerQueue)}
	l.mu.Lock()
	l.followers[me] = struct{}{}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.followers, me)
	}()
	for {
		select {
		case e, ok := <-me.queue:
			if !ok {
				return errSlow
			}
			if err := each(&e); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// followAll reads what all hosts write, a few times a second.
func (l *Log) followAll(ctx context.Context, each func(*Event) error) error {
	id, err := l.shared.End(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		texts, err := l.shared.After(ctx, id, readPage)
		if err != nil {
			return err
		}
		for i := range texts {
			id = texts[i].ID
			if e, ok := decode(&texts[i]); ok {
				if err := each(&e); err != nil {
					return err
				}
			}
		}
		if len(texts) == readPage {
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// line holds a text to one printable line of at most 400 octets.
func line(s string) string {
	const longest = 400
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "")
	}
	if !strings.ContainsFunc(s, odd) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if odd(r) {
			return '?'
		}
		return r
	}, s)
}

func odd(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
