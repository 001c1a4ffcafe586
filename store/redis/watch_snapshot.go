package redis

import (
	"context"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

// scanCount is how many entries a page of the snapshot has: the server does
// nothing else while it makes one, about 1 ms.
const scanCount = 2000

// snapshot tells the whole ledger. Changes made while it is read are told before
// Synced: they may be older than what was read of the same entry, and only the
// last of them is how things are.
func (w *watcher) snapshot(ctx context.Context) (err error) {
	w.ledgerName = ""
	told := w.known.Load()
	if w.at, w.number, err = w.last(ctx); err != nil {
		return err
	}
	name, err := w.history(ctx, told)
	if err != nil {
		return err
	}
	if err := w.send(ctx, store.Event{Kind: store.Reset, Ledger: name, Position: w.at}); err != nil {
		return err
	}
	if err := w.scan(ctx); err != nil {
		return err
	}
	for n := readCount; n == readCount; {
		if n, err = w.read(ctx, -1); err != nil {
			return err
		}
	}
	// A ledger that was lost while it was read would look like one that is empty.
	if again, err := w.name(ctx); err != nil {
		return err
	} else if again != name {
		return errGap
	}
	w.ledgerName = name
	w.publish()
	return w.send(ctx, store.Event{Kind: store.Synced, Position: w.at})
}

// scan tells the entries that are in force, page by page. All pages come over
// one connection: the cursor means nothing to another server, and entries would
// be left out in silence after a failover.
func (w *watcher) scan(ctx context.Context) error {
	node, err := w.node(ctx)
	if err != nil {
		return err
	}
	conn := node.Conn()
	defer func() { _ = conn.Close() }()
	now, err := w.time(ctx, conn)
	if err != nil {
		return err
	}
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		var page []string
		if page, cursor, err = conn.HScan(ctx, w.keys[keyEntries], cursor, "", scanCount).Result(); err != nil {
			return err
		}
		for i := 0; i+1 < len(page); i += 2 {
			e, err := decodeEntry(page[i], page[i+1])
			if err != nil {
				w.log.Warn("an entry of the ledger cannot be read and is passed over", zap.Error(err))
				continue
			}
			if !e.Live(now) {
				continue
			}
			if err := w.send(ctx, store.Event{Kind: store.Put, Entry: e}); err != nil {
				return err
			}
		}
	}
	return nil
}

// node is the server that has the ledger.
func (w *watcher) node(ctx context.Context) (*goredis.Client, error) {
	switch c := w.blocking.(type) {
	case *goredis.Client:
		return c, nil
	case *goredis.ClusterClient:
		return c.MasterForKey(ctx, w.keys[keyEntries])
	default:
		return nil, fmt.Errorf("a client of type %T has no servers of its own", c)
	}
}

// time is the present by the ledger's clock.
func (w *watcher) time(ctx context.Context, conn *goredis.Conn) (time.Time, error) {
	if w.now != nil {
		return w.now(), nil
	}
	return conn.Time(ctx).Result()
}
