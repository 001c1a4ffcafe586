package redis

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/saslguard/saslguard/store"
)

// mergeBatch is how many entries are merged by one run of the script: the server
// does nothing else meanwhile.
const mergeBatch = 200

// mergeMemory is how long a merged ban counts towards the length of the next
// one, after its end, if it comes without the ladder that says so.
const mergeMemory = 60 * 24 * time.Hour

// PutAll takes over entries as Put of another store returned them while Redis
// could not be reached: Since, Until and Times hold as they are. One that was
// lifted after it was made stays so. Of two entries in force of the same name an
// operator's is the one that was made later; of automatic bans the enforced one
// stays, then the one that ends later. A ban counts towards the next one's length even if it is over by now,
// one that was only observed towards that of observed ones alone. Errors are
// those of Put; store.ErrFull is returned when all was tried and some found no
// room. Doing it again does no harm.
func (l *ledger) PutAll(ctx context.Context, entries []store.Entry) error {
	refused := 0
	for len(entries) > 0 {
		n := min(len(entries), mergeBatch)
		more, err := l.merge(ctx, entries[:n])
		if err != nil {
			return err
		}
		refused += more
		entries = entries[n:]
	}
	if refused > 0 {
		return fmt.Errorf("%d entries: %w", refused, store.ErrFull)
	}
	return nil
}

// merge takes over one batch and returns how many found no room.
func (l *ledger) merge(ctx context.Context, batch []store.Entry) (int, error) {
	args := []any{l.cfg.MaxEntries, l.cfg.StreamLength}
	for i := range batch {
		e := &batch[i]
		since, until, err := l.times(e)
		if err != nil {
			return 0, err
		}
		keep := time.Duration(0)
		if e.Kind == store.AutomaticBan && e.Times > 0 {
			keep = cmp.Or(e.Ladder.Forget, mergeMemory)
		}
		args = append(args, entryName(e), since, until, bounded(e.Times), state(e), span(keep), texts(e))
	}
	reply, err := l.run(ctx, "merge", args...).Int64Slice()
	if err != nil {
		return 0, l.failed(fmt.Sprintf("merging %d entries", len(batch)), err)
	}
	if len(reply) != 2 {
		return 0, fmt.Errorf("merging %d entries: the script answered %v", len(batch), reply)
	}
	return int(reply[1]), nil
}

// RemoveAll removes entries as Remove of another store did while Redis could not
// be reached: what has been made since then stays. Doing it again does no harm.
// Errors are those of Put.
func (l *ledger) RemoveAll(ctx context.Context, removed []store.Event) error {
	for len(removed) > 0 {
		n := min(len(removed), mergeBatch)
		args := []any{l.cfg.MaxEntries, l.cfg.StreamLength}
		for i := range removed[:n] {
			e := &removed[i].Entry
			if err := e.CheckName(); err != nil {
				return err
			}
			args = append(args, entryName(e), removed[i].At.UnixMilli())
		}
		if err := l.run(ctx, "lift", args...).Err(); err != nil {
			return l.failed(fmt.Sprintf("removing %d entries", n), err)
		}
		removed = removed[n:]
	}
	return nil
}
