package redis

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

//go:embed ledger.lua
var ledgerSource string

// ledger is the store's half that keeps bans and the allowlist. Store embeds it,
// so that its exported methods are the store's; Close calls endLedger before it closes the client.
//
// What it keeps is in one slot of a cluster, and bounded: entries, histories and
// the stream of changes. Redis writes to disk as it is configured to; on a
// failover without WAIT the last moments may be lost, which watchers notice.
type ledger struct {
	client goredis.UniversalClient
	cfg    Config
	log    *zap.Logger
	now    func() time.Time // nil: the server's TIME
	keys   []string         // as ledger.lua numbers them
	script *goredis.Script
	hosts  *goredis.Script

	instance string                // of this process among the hosts
	known    atomic.Pointer[known] // what the last watcher was told
	nudged   chan struct{}         // holds a token when the heartbeat is to speak at once
	done     chan struct{}         // closed when watches and the sweep shall end
	end      sync.Once
	running  sync.WaitGroup
}

// The places of keys in ledger.keys.
const (
	keyEntries = 0
	keyPast    = 2
	keyChanges = 4
	keyPlaced  = 6
	keyName    = 8
)

// newLedger returns the ledger over a client that stays the caller's. Its sweep
// runs until endLedger.
func newLedger(client goredis.UniversalClient, cfg Config, log *zap.Logger, now func() time.Time) *ledger {
	if log == nil {
		log = zap.NewNop()
	}
	slot := "{" + cfg.Prefix + ":ledger}:"
	l := &ledger{
		client: client, cfg: cfg, log: log, now: now, script: goredis.NewScript(ledgerSource), hosts: goredis.NewScript(hostsSource),
		keys:     []string{slot + "entries", slot + "ends", slot + "past", slot + "forgets", slot + "changes", slot + "number", slot + "placed", slot + "lifted", slot + "name", slot + "probe"},
		instance: randomName(), done: make(chan struct{}), nudged: make(chan struct{}, 1),
	}
	l.running.Go(l.sweepLoop)
	return l
}

// endLedger ends the sweep and every watch, and waits for the sweep.
func (l *ledger) endLedger() {
	l.end.Do(func() { close(l.done) })
	l.running.Wait()
}

func (l *ledger) ended() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// Put implements store.Ledger. Errors wrap store.ErrInvalid, store.ErrFull,
// store.ErrClosed or what Redis or the network said; after those it is unknown
// whether the entry was made, and putting it again makes no second ban.
func (l *ledger) Put(ctx context.Context, e store.Entry) (store.Entry, error) {
	got, _, err := l.PutPosition(ctx, e)
	return got, err
}

// PutPosition implements store.Ledger, with the errors of Put.
func (l *ledger) PutPosition(ctx context.Context, e store.Entry) (store.Entry, store.Position, error) {
	since, until, err := l.times(&e)
	if err != nil {
		return store.Entry{}, store.Position{}, err
	}
	name := entryName(&e)
	reply, err := l.run(ctx, "put", l.cfg.MaxEntries, l.cfg.StreamLength, name, since, until,
		bounded(e.Times), state(&e), span(e.Ladder.First), span(e.Ladder.Max), span(e.Ladder.Forget), texts(&e)).StringSlice()
	switch {
	case err != nil:
		err = l.failed("putting "+name, err)
	case len(reply) == 1 && reply[0] == "full":
		err = store.ErrFull
	case len(reply) == 1 && reply[0] == "over":
		err = fmt.Errorf("%w: it was over at %s", store.ErrInvalid, e.Until)
	case len(reply) != 2:
		err = fmt.Errorf("putting %s: the script answered %q", name, reply)
	}
	if err != nil {
		return store.Entry{}, store.Position{}, err
	}
	at, err := store.ParsePosition(reply[1])
	if err != nil {
		return store.Entry{}, store.Position{}, err
	}
	got, err := decodeEntry(name, reply[0])
	return got, at, err
}

// Remove implements store.Ledger, with the errors of Put.
func (l *ledger) Remove(ctx context.Context, e store.Entry) (bool, error) {
	found, _, err := l.RemovePosition(ctx, e)
	return found, err
}

// RemovePosition implements store.Ledger, with the errors of Put.
func (l *ledger) RemovePosition(ctx context.Context, e store.Entry) (bool, store.Position, error) {
	if err := e.CheckName(); err != nil {
		return false, store.Position{}, err
	}
	if l.ended() {
		return false, store.Position{}, store.ErrClosed
	}
	name := entryName(&e)
	reply, err := l.run(ctx, "remove", l.cfg.MaxEntries, l.cfg.StreamLength, name).StringSlice()
	if err == nil && len(reply) != 2 {
		err = fmt.Errorf("the script answered %q", reply)
	}
	if err != nil {
		return false, store.Position{}, l.failed("removing "+name, err)
	}
	at, err := store.ParsePosition(reply[1])
	return reply[0] == "1", at, err
}

// run runs the script. A server that does not know it, after a restart or a
// failover, is sent its text.
func (l *ledger) run(ctx context.Context, what string, args ...any) *goredis.Cmd {
	return l.runOn(ctx, l.client, what, args...)
}

func (l *ledger) runOn(ctx context.Context, c goredis.Scripter, what string, args ...any) *goredis.Cmd {
	return l.script.Run(ctx, c, l.keys, append([]any{what, l.millisOrServer()}, args...)...)
}

// probeLife is for how long the key of a probe is kept.
const probeLife = time.Minute

// Probe tells whether the ledger answers and can be written, and the time by its
// clock.
func (l *ledger) Probe(ctx context.Context) (time.Time, error) {
	ms, err := l.run(ctx, "probe", probeLife.Milliseconds()).Int64()
	if err != nil {
		return time.Time{}, l.failed("asking Redis whether it is there", err)
	}
	return millis(ms), nil
}

// millisOrServer is the time as scripts take it: "" is the server's.
func (l *ledger) millisOrServer() string {
	if l.now == nil {
		return ""
	}
	return number(l.now().UnixMilli())
}

// failed says what failed, and of a closed client in the store's words.
func (l *ledger) failed(what string, err error) error {
	if errors.Is(err, goredis.ErrClosed) || l.ended() {
		return store.ErrClosed
	}
	return fmt.Errorf("%s: %w", what, err)
}

// times checks an entry that is to be written, and returns its beginning and
// end as the script takes them: "" for now, and 0 for none.
func (l *ledger) times(e *store.Entry) (since, until string, err error) {
	if l.ended() {
		return "", "", store.ErrClosed
	}
	if err := e.Check(); err != nil {
		return "", "", err
	}
	for _, t := range []time.Time{e.Since, e.Until} {
		if y := t.Year(); y < 1 || y > 9999 {
			return "", "", fmt.Errorf("%w: it has a time in the year %d", store.ErrInvalid, y)
		}
	}
	until = "0"
	if !e.Since.IsZero() {
		since = number(e.Since.UnixMilli())
	}
	if !e.Until.IsZero() {
		// 0 would be no end at all; what ended in 1970 is over either way.
		until = number(max(e.Until.UnixMilli(), 1))
	}
	return since, until, nil
}

// bounded holds how often something was banned to what can be read again.
func bounded(times int) int { return min(max(times, 0), maxTimes) }

func number(n int64) string { return strconv.FormatInt(n, 10) }

// span is a duration in milliseconds. One that is not zero does not become zero,
// which has a meaning of its own.
func span(d time.Duration) string {
	return number(int64(math.Ceil(float64(d) / float64(time.Millisecond))))
}
