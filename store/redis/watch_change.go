package redis

import (
	"fmt"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/saslguard/saslguard/store"
)

// change is one record of the stream.
type change struct {
	id     store.Position
	number int64 // one more than the change before it, whatever the stream still holds
	name   string
	value  string    // "": removed
	at     time.Time // when it was lifted; zero: its time was over
}

func decodeChange(m goredis.XMessage) (c change, err error) {
	if c.id, err = store.ParsePosition(m.ID); err != nil {
		return change{}, fmt.Errorf("%w: %w", errEntry, err)
	}
	n, _ := m.Values["n"].(string)
	if c.number, err = strconv.ParseInt(n, 10, 64); err != nil {
		return change{}, fmt.Errorf("%w: change %s has the number %q", errEntry, c.id, cut(n))
	}
	c.name, _ = m.Values["name"].(string)
	c.value, _ = m.Values["entry"].(string)
	if at, ok := m.Values["at"].(string); ok {
		ms, err := strconv.ParseInt(at, 10, 64)
		if err != nil || !isTime(ms) {
			return change{}, fmt.Errorf("%w: change %s was made at %q", errEntry, c.id, cut(at))
		}
		c.at = millis(ms)
	}
	return c, nil
}

// event is what a watcher is told of the change.
func (c change) event() (store.Event, error) {
	if c.value == "" {
		e, err := decodeName(c.name)
		return store.Event{Kind: store.Removed, Entry: e, Position: c.id, At: c.at}, err
	}
	e, err := decodeEntry(c.name, c.value)
	return store.Event{Kind: store.Put, Entry: e, Position: c.id}, err
}
