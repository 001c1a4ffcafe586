package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/eventlog"
)

const (
	maxWatchers = 64 // streams at once, the firewall agent's included
	// heartbeatEvery is how often a stream that has nothing to say shows that it
	// lives. A client that hears nothing for three times as long hangs up.
	heartbeatEvery = 5 * time.Second
	// lineTimeout is how long a reader may take; then it is dropped, and begins
	// anew if it wants to.
	lineTimeout = 10 * time.Second
	lineBuffer  = 64 << 10
)

// stream answers with lines of JSON (application/x-ndjson) until the reader hangs
// up, is too slow, or the server stops.
func (c *Control) stream(w http.ResponseWriter, r *http.Request, sign func() any, tell func(context.Context, *lines) error) {
	if c.watchers.Add(1) > maxWatchers {
		c.watchers.Add(-1)
		c.fail(w, api.Errorf(http.StatusServiceUnavailable, api.Busy, "%d watch already, and no more may", maxWatchers))
		return
	}
	defer c.watchers.Add(-1)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()

	rc := http.NewResponseController(w)
	// The request was read; what it says from now on is only that it hangs up.
	if err := rc.SetReadDeadline(time.Time{}); err != nil {
		c.fail(w, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	l := &lines{rc: rc, buffered: bufio.NewWriterSize(w, lineBuffer), cancel: cancel}
	l.encoder = json.NewEncoder(l.buffered)
	l.encoder.SetEscapeHTML(false)
	if l.flush() != nil {
		return
	}
	var beating sync.WaitGroup
	beating.Go(func() { c.beat(ctx, cancel, sign, l) })
	err := tell(ctx, l)
	cancel()
	beating.Wait()
	if err != nil && !errors.Is(err, context.Canceled) {
		c.log.Info("a watcher was dropped", zap.String("path", r.URL.Path), zap.Error(err))
	}
}

// beat sends signs of life until ctx ends, and ends it when the server stops.
func (c *Control) beat(ctx context.Context, cancel func(), sign func() any, l *lines) {
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = l.write(sign(), true) // it cancels what it cannot write to
		case <-c.stopping:
			cancel()
			return
		case <-ctx.Done():
			return
		}
	}
}

// The signs of life.
func ledgerBeat() api.LedgerEvent { return api.LedgerEvent{Event: api.Heartbeat} }

func eventBeat() api.Event {
	return api.Event{At: time.Now().UTC(), Kind: eventlog.Heartbeat, Count: 1}
}

// lines writes lines of JSON. Its methods may be called by several goroutines.
type lines struct {
	mu       sync.Mutex
	rc       *http.ResponseController
	buffered *bufio.Writer
	encoder  *json.Encoder
	cancel   func()
}

// write writes a line, and has it sent at once if it is the last for now.
func (l *lines) write(line any, last bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Also a full buffer is sent, so that there is a deadline at any time.
	err := l.rc.SetWriteDeadline(time.Now().Add(lineTimeout))
	if err == nil {
		err = l.encoder.Encode(line)
	}
	if err == nil && last {
		err = errors.Join(l.buffered.Flush(), l.rc.Flush())
	}
	if err != nil {
		l.cancel()
	}
	return err
}

func (l *lines) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.rc.SetWriteDeadline(time.Now().Add(lineTimeout)), l.buffered.Flush(), l.rc.Flush())
}
