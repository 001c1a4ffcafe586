package follow

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/maillog"
)

const (
	pollEvery     = time.Second      // where no event tells that something has changed
	turnBytes     = 1 << 20          // read before it is looked at the path again
	linger        = 2 * time.Minute  // a file that was rotated away is read on until nobody has written to it for so long
	rotationTakes = 10 * time.Second // and no longer there is no file at the path
	maxOld        = 64               // files that were rotated away, at once
)

// source follows one log by its path. All but status and remembered belongs to
// the goroutine that runs it.
type source struct {
	*shared
	path string
	feed *feed
	buf  []byte

	begun   bool     // where to begin has been decided
	first   *place   // what stood at the path at the very first look, if it could not be opened
	current *tail    // the file at the path; nil: none that can be read
	old     []*tail  // rotated away, the oldest first
	saved   *fileLog // of the process before, until it is resumed
	known   []sibling
	looked  time.Time // when known was made
	rescan  bool      // look once more at what lies beside the log
	budget  int       // what is left of turnBytes
	missing time.Time // since when there is nothing at the path; zero: there is

	mu       sync.Mutex
	memory   *fileLog // nil: nothing yet
	turns    int
	trouble  string    // why the log cannot be read; ""
	caughtUp time.Time // when it was last read to its end; zero: it is
}

func newSource(s *shared, path string, since time.Duration, how maillog.Options, saved *fileLog) *source {
	src := &source{
		shared: s, path: path, feed: newFeed(s, path, how),
		buf: make([]byte, printSize+chunkSize), saved: saved,
	}
	if saved != nil {
		src.memory, src.feed.latest = saved, saved.Latest
	} else {
		src.feed.latest = s.now()
		src.feed.since = src.feed.latest.Add(-since)
		if since == 0 {
			src.feed.since = time.Time{}
		}
	}
	return src
}

// run follows the log until ctx ends.
func (s *source) run(ctx context.Context) {
	watch := newWatch(s.path, s.log)
	defer watch.close()
	defer s.closeAll()
	for ctx.Err() == nil {
		watch.update()
		more, err := s.turn(ctx)
		if s.count() == 1 {
			s.hasBegun()
		}
		if err != nil && ctx.Err() == nil {
			s.setTrouble(err)
		}
		if more {
			continue
		}
		watch.wait(ctx, pollEvery)
	}
}

// turn does once what there is to do, and tells whether there is more at once.
func (s *source) turn(ctx context.Context) (more bool, err error) {
	if len(s.old) < maxOld {
		if err := s.look(); err != nil {
			return false, err
		}
	}
	defer s.remember()
	s.budget = turnBytes
	// The older file first: its lines came before those of the newer one.
	for _, t := range s.tails() {
		more, err := s.readSome(ctx, t)
		if err != nil && ctx.Err() == nil {
			s.unreadable(t, err)
		}
		if more || err != nil {
			return more, err
		}
	}
	s.retire()
	s.setCaughtUp()
	return false, nil
}

// readSome reads a file on, to its end or as far as the turn goes.
func (s *source) readSome(ctx context.Context, t *tail) (more bool, err error) {
	for s.budget > 0 && ctx.Err() == nil {
		n, err := s.readChunk(ctx, t)
		if errors.Is(err, errTruncated) {
			s.truncated(t)
			return true, nil
		}
		if n == 0 || err != nil {
			return false, err
		}
		s.budget -= n
	}
	return true, nil
}

// readChunk reads a chunk of whole lines and has them counted. It returns how
// much that was.
func (s *source) readChunk(ctx context.Context, t *tail) (int, error) {
	chunk, err := t.read(s.buf)
	t.ended = err == nil && len(chunk) == 0
	if err != nil || len(chunk) == 0 {
		return 0, err
	}
	s.setBehind()
	if n := zeros(chunk); n > 0 && !t.skipping {
		skipped, err := t.skipHole(chunk[:n], s.now())
		return int(min(skipped, turnBytes)), err
	}
	counted, failed := 0, error(nil)
	covered := t.lines(chunk, func(line []byte, at, end int) bool {
		s.feed.line(line, t.offset+int64(at))
		if !s.feed.full() {
			return true
		}
		if failed = s.feed.flush(ctx); failed == nil {
			counted = end
		}
		return failed == nil
	}, s.metrics.long.Inc)
	if failed == nil {
		if failed = s.feed.flush(ctx); failed == nil {
			counted = covered
		}
	}
	s.feed.drop()
	t.take(chunk[:counted], s.now())
	s.metrics.bytes.Add(float64(counted))
	return counted, failed
}

// unreadable deals with a file that gives an error. On a network file system it
// may be well when it is opened again; one that was rotated away would keep the
// others from being read, and is let go.
func (s *source) unreadable(t *tail, err error) {
	if t != s.current {
		s.metrics.lost.Inc()
		s.log.Warn("a file that was rotated away can no longer be read; the rest of it is missing",
			zap.String("source", s.path), zap.String("file", t.name), zap.Int64("read_to_byte", t.offset), zap.Error(err))
		s.old = slices.DeleteFunc(s.old, func(o *tail) bool { return o == t })
		t.close()
		return
	}
	f, err := openRegular(s.path)
	if err != nil {
		return // it is tried again
	}
	info, err := f.Stat()
	if p := t.place(); err != nil || !p.in(f) {
		_ = f.Close()
		return
	}
	t.close()
	t.file, t.id = f, idOf(info)
}

// retire lets go of files that were rotated away and have been read to their end.
func (s *source) retire() {
	now, kept := s.now(), s.old[:0]
	for _, t := range s.old {
		if now.Sub(t.grew) < linger {
			kept = append(kept, t)
			continue
		}
		if info, err := t.file.Stat(); err == nil && info.Size() > t.offset {
			s.metrics.partial.Inc() // nobody completes its last line any more
		}
		t.close()
	}
	clear(s.old[len(kept):])
	s.old = kept
}

func (s *source) closeAll() {
	for _, t := range s.old {
		t.close()
	}
	if s.current != nil {
		s.current.close()
	}
}
