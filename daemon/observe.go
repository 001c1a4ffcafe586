package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/saslguard/saslguard/admin"
	"github.com/saslguard/saslguard/enrich"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/maillog/follow"
	"github.com/saslguard/saslguard/notify"
)

// observe tells everybody who looks on what the guard has done. None of them may
// wait; who they are is settled before the guard is made.
func (d *Daemon) observe(e guard.Event) {
	for _, o := range d.observers {
		o(e)
	}
}

// makeNotifier makes what tells people, and what tells it where addresses are from.
func (d *Daemon) makeNotifier() (err error) {
	d.enricher, err = enrich.New(d.config.Enrich, enrich.Options{Logger: d.log.Named("enrich"), Registerer: d.metrics})
	if err != nil {
		return err
	}
	d.notifier, err = notify.New(d.config.Notify, notify.Options{
		Host: d.host(), Logger: d.log.Named("notify"), Registerer: d.metrics, Describe: d.enricher.Describe, Names: d.names,
	})
	if err == nil {
		d.observers = append(d.observers, d.notifier.Observe)
	}
	return err
}

// A state is news once it has held for stateHold: a Redis that is restarted is
// none. It is looked at every stateEvery.
const (
	stateHold  = 10 * time.Second
	stateEvery = 2 * time.Second
)

// watchStores tells when a store goes and when it is back, until ctx ends.
func (d *Daemon) watchStores(ctx context.Context) {
	watched := map[string]*steady{}
	tick := time.NewTicker(stateEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			for _, p := range d.health().Parts {
				if p.Name != "store" && p.Name != "redis" {
					continue
				}
				w := watched[p.Name]
				if w == nil {
					w = &steady{ok: true}
					watched[p.Name] = w
				}
				if w.turned(p.State == admin.OK, now) {
					d.notifier.Tell(storeNews(p, now))
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// steady is a state that has been told. One that was never told is well, which
// nobody needs to be told.
type steady struct {
	ok    bool
	since time.Time // when it began to be otherwise; zero: it is not
}

// turned takes what a state is now, and tells whether it is another one than was
// told, and has been for long enough.
func (s *steady) turned(ok bool, now time.Time) bool {
	switch {
	case ok == s.ok:
		s.since = time.Time{}
		return false
	case s.since.IsZero():
		s.since = now
	}
	if now.Sub(s.since) < stateHold {
		return false
	}
	s.ok, s.since = ok, time.Time{}
	return true
}

// storeNews finds the words for a store that has gone or is back.
func storeNews(p admin.Part, now time.Time) notify.News {
	n := notify.News{Kind: notify.Store, At: now, Why: p.Detail}
	ok := p.State == admin.OK
	switch {
	case p.Name == "redis" && ok:
		n.Title, n.Do = "Redis is back", "There is nothing to do: what was learnt meanwhile is handed over."
	case p.Name == "redis":
		n.Title, n.Do = "Redis is away", "Look after Redis. Logins go on: this host decides by itself, and bans are handed over later."
	case ok:
		n.Title, n.Do = "the state file can be written again", "There is nothing to do."
	default:
		n.Title, n.Do = "the state file cannot be written", "Look after the disk. Logins go on; what is learnt now is lost if saslguard restarts."
	}
	return n
}

// logNews finds the words for a log that is not understood.
func logNews(n follow.Notice, now time.Time) notify.News {
	w := notify.News{
		Kind: notify.LogFormat, At: now, Key: n.Source + " " + n.Program,
		Title: "lines of " + n.Source + " look like failed logins and are not understood",
		Why:   fmt.Sprintf("%d lines of %s, and no other of it was understood", n.Lines, n.Program),
		Do:    "Failures in this log are not counted. saslguard's own log shows a line; please report it.",
	}
	if n.Program == "" {
		w.Title = n.Source + " is no mail log"
		w.Why = fmt.Sprintf("none of its latest %d lines begins as lines of logs do", n.Lines)
		w.Do = "See that maillog names the right file."
	}
	return w
}
