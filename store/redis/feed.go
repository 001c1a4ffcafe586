package redis

import (
	"context"
	_ "embed"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/saslguard/saslguard/store"
)

// Feed is a capped stream of texts that all hosts write to and read: the log of
// events. It knows nothing of what is in them. What is lost of it, in a failover
// or for want of room, is lost.
type Feed struct {
	client goredis.UniversalClient
	key    string
	add    *goredis.Script
}

//go:embed feed.lua
var feedSource string

// Feed returns the stream of a name.
func (s *Store) Feed(name string) *Feed {
	return &Feed{client: s.client, key: s.prefix + ":feed:" + name, add: goredis.NewScript(feedSource)}
}

// Append writes texts in one round trip, and lets go of the oldest beyond about
// max and of those older than keep.
func (f *Feed) Append(ctx context.Context, texts [][]byte, max int, keep time.Duration) error {
	args := append(make([]any, 0, 3+len(texts)), max, time.Now().Add(-keep).UnixMilli(), keep.Milliseconds())
	for _, text := range texts {
		args = append(args, text)
	}
	err := f.add.Run(ctx, f.client, []string{f.key}, args...).Err()
	if errors.Is(err, goredis.Nil) { // the script returns nothing
		return nil
	}
	return err
}

// Before returns at most count lines before an id, the latest first; "" is the
// end.
func (f *Feed) Before(ctx context.Context, id string, count int) ([]store.Line, error) {
	from := "+"
	if id != "" {
		from = "(" + id
	}
	messages, err := f.client.XRevRangeN(ctx, f.key, from, "-", int64(count)).Result()
	return feedLines(messages), err
}

// After returns at most count lines after an id, the oldest first; "" is the
// beginning.
func (f *Feed) After(ctx context.Context, id string, count int) ([]store.Line, error) {
	from := "-"
	if id != "" {
		from = "(" + id
	}
	messages, err := f.client.XRangeN(ctx, f.key, from, "+", int64(count)).Result()
	return feedLines(messages), err
}

// End is the id of the latest line, "" if there is none.
func (f *Feed) End(ctx context.Context) (string, error) {
	lines, err := f.Before(ctx, "", 1)
	if err != nil && !errors.Is(err, goredis.Nil) || len(lines) == 0 {
		return "", err
	}
	return lines[0].ID, nil
}

func feedLines(messages []goredis.XMessage) []store.Line {
	lines := make([]store.Line, 0, len(messages))
	for _, m := range messages {
		text, _ := m.Values["e"].(string)
		lines = append(lines, store.Line{ID: m.ID, Text: []byte(text)})
	}
	return lines
}
