package days

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/memory"
)

// world is the real guard over the real memory store, with people and attackers
// who log in for days. Its time passes as fast as it can be computed: everything
// but the store lives in a bubble of testing/synctest, whose clock goes on when
// all its goroutines wait. So the guard's own waiting and delaying are real ones.
type world struct {
	*testing.T
	guard *guard.Guard
	began time.Time
	days  float64
	now   *atomic.Int64 // the bubble's time, for the store, which is outside
	crew  sync.WaitGroup
	actor int // how many there are; each begins a little later than the one before

	mu        sync.Mutex
	passwords map[string]string // right ones, by account
	sessions  int
	crowds    []*crowd
	homes     map[netip.Addr]*crowd // who logs in from where
	banned    int                   // bans of attackers
	hit       []string              // bans that an owner's address is in
	braked    bool                  // bans have paused
	down      atomic.Bool           // the password database answers nobody
}

// verifying is how long a password database takes to verify a password.
const verifying = 50 * time.Millisecond

// live lets a world live for some days under rules. populate starts its people.
func live(t *testing.T, rules guard.Config, days float64, populate func(*world)) *world {
	t.Helper()
	r, err := guard.NewRules(rules, true)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		T: t, days: days, now: new(atomic.Int64),
		passwords: map[string]string{}, homes: map[netip.Addr]*crowd{},
	}
	s, err := memory.Open(memory.Config{Subjects: 200_000, Bans: 50_000, Familiar: 50_000},
		memory.Options{Now: func() time.Time { return time.Unix(0, w.now.Load()) }, Key: [16]byte{'d', 'a', 'y', 's'}})
	if err != nil {
		t.Fatal(err)
	}
	l := newLedger(s)
	synctest.Test(t, func(t *testing.T) {
		w.T = t
		w.began = time.Now()
		w.now.Store(w.began.UnixNano())
		w.start(r, s, l)
		populate(w)
		w.crew.Wait()
	})
	w.T = t
	close(l.puts)
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	return w
}

// start runs the guard until the bubble ends.
func (w *world) start(r *guard.Rules, s *memory.Store, l *ledger) {
	var number atomic.Uint64
	g, err := guard.New(guard.Options{
		Rules: r, Scores: s, Ledger: l, Key: s.Key(), Host: "days", Logger: zap.NewNop(),
		Random: func() uint64 { return number.Add(1) }, Observe: w.see,
	})
	if err != nil {
		w.Fatal(err)
	}
	w.guard = g
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	w.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			w.Error(err)
		}
	})
	<-g.Synced()
}

// ledger tells of a ban before Put returns: were the guard to follow the store's
// own Watch, which waits outside the bubble, time would stand still. It is made
// outside too, where its store lives.
type ledger struct {
	store.Ledger
	tell func(store.Event) error

	mu   sync.Mutex
	puts chan store.Entry
	done chan put
}

type put struct {
	entry store.Entry
	err   error
}

// newLedger returns a ledger that ends when puts is closed.
func newLedger(s *memory.Store) *ledger {
	l := &ledger{Ledger: s, puts: make(chan store.Entry), done: make(chan put)}
	go func() {
		for e := range l.puts {
			got, err := s.Put(context.Background(), e)
			l.done <- put{got, err}
		}
	}()
	return l
}

// Put implements store.Ledger.
func (l *ledger) Put(_ context.Context, e store.Entry) (store.Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.puts <- e
	p := <-l.done
	if p.err != nil {
		return p.entry, p.err
	}
	return p.entry, l.tell(store.Event{Kind: store.Put, Entry: p.entry})
}

// Watch implements store.Ledger. It begins with an empty ledger.
func (l *ledger) Watch(ctx context.Context, f func(store.Event) error) error {
	l.tell = f
	if err := f(store.Event{Kind: store.Reset}); err != nil {
		return err
	}
	if err := f(store.Event{Kind: store.Synced}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// see takes note of bans, of whose address is in them, and of the brake.
func (w *world) see(e guard.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.braked = w.braked || e.Kind == guard.Braked
	if e.Kind != guard.Banned {
		return
	}
	for addr, of := range w.homes {
		if e.Entry.Prefix.Contains(addr) && !of.attackers {
			w.hit = append(w.hit, fmt.Sprintf("%s of %s", e.Entry.Prefix, of.name))
			return
		}
	}
	w.banned++
}

// login is an attempt to log in.
type login struct {
	from              netip.Addr
	account, password string
	service           string // "" is imap; submission has Postfix ask as well
	mechanism         string // "" is PLAIN
}

// try makes an attempt, as Dovecot and Postfix make it.
func (w *world) try(c *crowd, l login) (accepted bool) {
	began := time.Now()
	w.now.Store(began.UnixNano())
	a := w.attempt(c, &l)
	if c.attackers {
		c.noteTested(w.wouldOpen(a))
	}
	refused := false
	if l.service == "submission" {
		refused = w.ask(guard.Attempt{Face: guard.Postfix, Service: l.service, Client: l.from}) == guard.Refuse
	}
	if !refused {
		if refused = w.ask(a) == guard.Refuse; refused {
			a.Outcome = score.Refused
			w.report(a)
		}
	}
	waited := time.Since(began)
	right := w.right(&l)
	if !refused {
		time.Sleep(verifying)
		switch a.Outcome = score.Failure; {
		case right && !w.down.Load():
			a.Outcome, accepted = score.Success, true
		case !w.known(l.account):
			a.Outcome = score.UnknownAccount // Dovecot 2.4 says so
		}
		w.report(a)
	}
	c.note(&l, outcome{right: right, refused: refused, accepted: accepted, waited: waited})
	return accepted
}

// attempt is what Dovecot tells of one.
func (w *world) attempt(c *crowd, l *login) guard.Attempt {
	a := guard.Attempt{
		Face: guard.Dovecot, Service: l.service, Client: l.from, Login: l.account,
		Mechanism: l.mechanism, Hash: hash(l.account, l.password),
	}
	if a.Service == "" {
		a.Service = "imap"
	}
	switch a.Mechanism {
	case "":
		a.Mechanism = "PLAIN"
	case "-":
		a.Mechanism = "" // not told
	case "CRAM-MD5":
		a.Hash = hash(l.account, "") // no password is sent
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sessions++
	a.Session = fmt.Sprint("session-", w.sessions)
	w.homes[l.from] = c
	return a
}

// hash is the first 12 bits of a hash, as Dovecot's is.
func hash(account, password string) string {
	sum := sha256.Sum256([]byte("days" + account + "\x00" + password))
	return fmt.Sprintf("%04x", binary.BigEndian.Uint16(sum[:2])>>4)
}

// ask asks about an attempt, and waits where it is delayed.
func (w *world) ask(a guard.Attempt) guard.Action {
	v := w.guard.Check(w.Context(), &a)
	if v.Action == guard.Tarpit {
		time.Sleep(v.Delay)
	}
	w.now.Store(time.Now().UnixNano())
	return v.Action
}

func (w *world) report(a guard.Attempt) {
	w.now.Store(time.Now().UnixNano())
	if !w.guard.Report(a) {
		w.Error("a report was dropped")
	}
}

// wouldOpen tells whether an attempt would have got in with the right password.
// Asking so takes no place and counts nothing.
func (w *world) wouldOpen(a guard.Attempt) bool {
	w.mu.Lock()
	a.Hash = hash(a.Login, w.passwords[a.Login])
	w.mu.Unlock()
	if a.Mechanism == "CRAM-MD5" {
		a.Hash = hash(a.Login, "")
	}
	a.Stale, a.Delayed = true, true
	return w.guard.Check(w.Context(), &a).Action != guard.Refuse
}

func (w *world) right(l *login) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, known := w.passwords[l.account]
	return known && p == l.password
}

// known tells whether there is an account.
func (w *world) known(account string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.passwords[account] != ""
}

// setPassword makes a password the right one of an account from now on.
func (w *world) setPassword(account, password string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passwords[account] = password
}

// clock is how much of the world's life has passed.
func (w *world) clock() time.Duration { return time.Since(w.began) }

// over tells whether the world's days are.
func (w *world) over() bool { return w.clock() >= w.length() }

func (w *world) length() time.Duration { return time.Duration(w.days * 24 * float64(time.Hour)) }

// begin starts somebody's life. No two act in the same instant, or chance would
// decide who is first.
func (w *world) begin(life func()) {
	w.actor++
	late := time.Duration(w.actor) * 1_000_003 * time.Nanosecond
	w.crew.Go(func() {
		time.Sleep(late)
		life()
	})
}

// every has somebody do something at intervals, from a time on, until the days are
// over.
func (w *world) every(from, interval time.Duration, act func(n int)) {
	w.begin(func() {
		time.Sleep(from)
		for n := 0; !w.over(); n++ {
			act(n)
			time.Sleep(interval)
		}
	})
}
