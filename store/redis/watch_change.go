package redis

import (
	"fmt"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/saslguard/saslguard/store"
)

// streamID is the place of a change in the stream.
type streamID struct{ ms, seq uint64 }

func (id streamID) String() string {
	return strconv.FormatUint(id.ms, 10) + "-" + strconv.FormatUint(id.seq, 10)
}

func (id streamID) before(other streamID) bool {
	return id.ms < other.ms || id.ms == other.ms && id.seq < other.seq
}

func parseStreamID(s string) (id streamID, err error) {
	ms, seq, _ := strings.Cut(s, "-")
	if id.ms, err = strconv.ParseUint(ms, 10, 64); err == nil {
		id.seq, err = strconv.ParseUint(seq, 10, 64)
	}
	if err != nil {
		return streamID{}, fmt.Errorf("%w: a change with the id %q", errEntry, cut(s))
	}
	return id, nil
}

// change is one record of the stream.
type change struct {
	id     streamID
	number int64 // one more than the change before it, whatever the stream still holds
	name   string
	value  string // "": removed
}

func decodeChange(m goredis.XMessage) (c change, err error) {
	if c.id, err = parseStreamID(m.ID); err != nil {
		return change{}, err
	}
	n, _ := m.Values["n"].(string)
	if c.number, err = strconv.ParseInt(n, 10, 64); err != nil {
		return change{}, fmt.Errorf("%w: change %s has the number %q", errEntry, c.id, cut(n))
	}
	c.name, _ = m.Values["name"].(string)
	c.value, _ = m.Values["entry"].(string)
	return c, nil
}

// event is what a watcher is told of the change.
func (c change) event() (store.Event, error) {
	if c.value == "" {
		e, err := decodeName(c.name)
		return store.Event{Kind: store.Removed, Entry: e}, err
	}
	e, err := decodeEntry(c.name, c.value)
	return store.Event{Kind: store.Put, Entry: e}, err
}
