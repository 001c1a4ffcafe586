package redis

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

// A ledger has a name, by which hosts tell one that was lost from one whose
// entries were all removed: a Redis that comes back empty makes another. One that
// comes back older, from a file of some minutes ago or because a replica took over
// that lacked the last writes, still has the name; but it lacks the last change
// that some host was told. The first host to see that gives the ledger a new name.
// All hosts then do as with a lost one: they hand over what they know, bans and
// unbans, and what each was decided when tells which of them hold.

// known is what this process was told of a ledger.
type known struct {
	name   string
	at     store.Position // the last change
	number int64          // of that change; 0: not known
}

// Followed says what an earlier process of this host was told of the ledger. It
// is to be called before the first Watch.
func (l *ledger) Followed(name string, at store.Position) {
	if name != "" && !at.IsZero() {
		l.known.CompareAndSwap(nil, &known{name: name, at: at})
	}
}

// history returns the ledger's name, after giving it another one if changes of it
// were lost.
// What was told is to be looked up before the ledger's last change: another watch
// of this process may be told of one meanwhile.
func (w *watcher) history(ctx context.Context, k *known) (string, error) {
	name, err := w.name(ctx)
	if err != nil {
		return "", err
	}
	if k == nil || k.name != name {
		return name, nil
	}
	lost, err := w.lost(ctx, k)
	if err != nil || !lost {
		return name, err
	}
	renamed, err := w.runOn(ctx, w.blocking, "rename", name, randomName()).Text()
	if err != nil {
		return "", err
	}
	w.log.Warn("the ledger in Redis is older than what this host was told of it; every host hands over the bans and unbans that it lacks",
		zap.Stringer("position", w.at), zap.Stringer("told", k.at))
	return renamed, nil
}

// lost tells whether the ledger lacks a change that it told of. The stream is cut
// at its old end only: what lies within it and is not there never was, in this
// history. Of what lies before all that is left, nothing can be said but by its
// number.
func (w *watcher) lost(ctx context.Context, k *known) (bool, error) {
	if w.at.Compare(k.at) < 0 {
		return true, nil
	}
	found, err := w.blocking.XRange(ctx, w.keys[keyChanges], k.at.String(), k.at.String()).Result()
	if err != nil {
		return false, err
	}
	if len(found) > 0 {
		c, err := decodeChange(found[0])
		return err == nil && k.number != 0 && c.number != k.number, nil
	}
	first, err := w.blocking.XRangeN(ctx, w.keys[keyChanges], "-", "+", 1).Result()
	if err != nil || len(first) == 0 {
		return err == nil, err
	}
	c, err := decodeChange(first[0])
	if err != nil {
		return false, nil // somebody else's: nothing can be told by it
	}
	return c.id.Compare(k.at) < 0 || k.number != 0 && c.number <= k.number, nil
}

// name is the name that the ledger was given when it was first read.
func (w *watcher) name(ctx context.Context) (string, error) {
	// Read first: a Redis without memory, or a replica, refuses SETNX in any case.
	name, err := w.blocking.Get(ctx, w.keys[keyName]).Result()
	if !errors.Is(err, goredis.Nil) {
		return name, err
	}
	if err := w.blocking.SetNX(ctx, w.keys[keyName], randomName(), 0).Err(); err != nil {
		return "", err
	}
	return w.blocking.Get(ctx, w.keys[keyName]).Result()
}

// randomName is a name that nothing else has.
func randomName() string {
	var random [16]byte
	// It never fails: without randomness the process ends.
	_, _ = rand.Read(random[:])
	return hex.EncodeToString(random[:])
}
