package memory

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store/boltfile"
)

// openFile opens the file, if there is to be one, and loads what it holds.
func (s *Store) openFile(cfg Config) error {
	if s.options.Path == "" {
		s.initShards(cfg)
		return nil
	}
	f, err := boltfile.Open(s.options.Path, boltfile.Options{
		What: "state file", Lost: "bans, scores and familiar pairs in it",
		Unwritten: "what is learnt from now on does not survive a restart",
		Prepare:   prepare, Failed: s.meters.writeErrors.Inc, Now: s.options.Now, Logger: s.options.Logger,
	})
	if err != nil {
		return err
	}
	s.file, s.notes.file = f, f
	if err := f.View(func(tx *bbolt.Tx) error { return s.load(tx, cfg) }); err != nil {
		return errors.Join(fmt.Errorf("reading the state file %s: %w", s.options.Path, err), f.Close())
	}
	return nil
}

func (s *Store) load(tx *bbolt.Tx, cfg Config) error {
	copy(s.key[:], tx.Bucket([]byte(nameMeta)).Get([]byte(metaKey)))
	s.ledger.mirrored = string(tx.Bucket([]byte(nameMeta)).Get([]byte(metaMirrored)))
	s.ledger.loadPosition(tx)
	s.initShards(cfg)
	l := loader{store: s, now: s.nowMillis()}
	l.each(tx, nameScores, l.scores)
	l.each(tx, nameHistory, l.history)
	l.each(tx, nameLedger, l.entry)
	l.each(tx, nameRemovals, l.removal)
	l.each(tx, namePairs, l.pair)
	l.each(tx, nameRights, l.rights)
	if l.skipped != nil {
		s.options.Logger.Error("records of the state file cannot be read: they are skipped",
			zap.String("file", s.options.Path), zap.Int("records", l.count), zap.NamedError("first", l.skipped))
	}
	return nil
}

// loader reads a file's records into a store that nobody uses yet. One that
// cannot be read costs only itself.
type loader struct {
	store   *Store
	now     int64
	skipped error // the first
	count   int
}

func (l *loader) each(tx *bbolt.Tx, name bucket, f func(key, value []byte) error) {
	b := tx.Bucket([]byte(name))
	if b == nil {
		return
	}
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		value, err := boltfile.Unseal(k, v)
		if err == nil {
			err = f(k, value)
		}
		if err == nil {
			continue
		}
		l.count++
		l.store.meters.unreadable.Inc()
		if l.skipped == nil {
			l.skipped = fmt.Errorf("%s: %w", name, err)
		}
	}
}

func (l *loader) scores(key, value []byte) error {
	if len(key) != 5 || key[0] >= shards {
		return fmt.Errorf("%w: scores of no shard", boltfile.ErrRecord)
	}
	p := &l.store.shards[key[0]]
	p.mu.Lock()
	defer p.mu.Unlock()
	// Subjects get new heads, so the records of the file are all out of date.
	p.rewrite = true
	rules := l.store.lastRules()
	return decodeSubjects(value, &p.desk.Subject, func(key64 uint64, kind score.Kind) {
		if shardOf(key64) == int(key[0]) {
			p.adopt(key64, kind, l.now, rules)
		}
	})
}

func (l *loader) history(key, value []byte) error {
	k, h, err := decodeHistory(key, value)
	if err == nil {
		// One that is over is removed from the file when its time is looked at.
		l.store.ledger.remember(k, h)
	}
	return err
}

func (l *loader) entry(key, value []byte) error {
	e, err := decodeEntry(key, value)
	if err == nil {
		l.store.ledger.set(keyOf(e), &kept{Entry: *e, shared: value[1]&entryShared != 0})
	}
	return err
}

func (l *loader) removal(key, value []byte) error {
	if len(value) == 0 {
		// Written before removals had a time, which is now then: all of those wait.
		value = encodeLift(lift{at: l.now, waits: true})
	}
	k, x, err := decodeLift(key, value)
	if err == nil {
		l.store.ledger.setLift(k, x)
	}
	return err
}

func (l *loader) pair(key, value []byte) error {
	k, until, err := decodePair(key, value)
	if err == nil {
		l.store.notes.befriend(k, until)
	}
	return err
}

func (l *loader) rights(key, value []byte) error {
	account, r, err := decodeRights(key, value)
	if err == nil {
		// The oldest first: of two that were right in the same second the later
		// one is newer.
		for i := maxRights - 1; i >= 0; i-- {
			if r.at[i] != 0 {
				l.store.notes.learn(account, r.token[i], r.at[i], maxRights)
			}
		}
	}
	return err
}
