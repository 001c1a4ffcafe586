package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

const (
	// quiet is how long no answer may come before a run is given up.
	quiet = 5 * time.Second
	// roomForAnswer is the longest answer that is read, in bytes.
	roomForAnswer = 4 << 10
)

// worker asks over its share of the connections, in one thread.
type worker struct {
	load    *Load
	dialect Dialect
	source  Source
	rand    *rand.Rand
	poll    *poll
	conns   []conn
	free    []int // those that wait for no answer
	out     []byte
	born    time.Time
	gap     float64 // mean nanoseconds between two questions; 0: closed loop
	quota   int64   // questions left; below 0: no limit
	measure int64   // from when on answers are measured, after born
	end     int64   // when asking ends, after born
	result  Result
}

// conn is a connection, with at most one question under way.
type conn struct {
	fd    int
	asked bool
	due   int64 // when the question was, after the worker's birth
	in    [roomForAnswer]byte
	n     int
}

func newWorker(l *Load, thread, threads int, server netip.AddrPort) (*worker, error) {
	share := l.Connections / threads
	if thread < l.Connections%threads {
		share++
	}
	w := &worker{
		load: l, dialect: l.Dialect(), source: l.Source(thread), rand: rand.New(rand.NewPCG(uint64(thread), 1)),
		conns: make([]conn, 0, share), quota: -1,
		measure: int64(l.Warmup), end: int64(l.Warmup + l.Duration),
		result: Result{Latency: hdrhistogram.New(shortest, longest, digits)},
	}
	if l.Rate > 0 {
		w.gap = float64(time.Second) * float64(threads) / l.Rate
	}
	if l.Questions > 0 {
		w.quota = l.Questions / int64(threads)
	}
	var err error
	if w.poll, err = newPoll(); err != nil {
		return nil, err
	}
	for i := range share {
		fd, err := dial(server)
		if err == nil {
			w.conns = append(w.conns, conn{fd: fd})
			w.free = append(w.free, i)
			err = w.poll.add(fd, i)
		}
		if err != nil {
			_ = w.close()
			return nil, fmt.Errorf("connection %d to %s: %w", i+1, server, err)
		}
	}
	return w, nil
}

func (w *worker) close() error {
	for _, c := range w.conns {
		_ = unix.Close(c.fd)
	}
	w.conns = nil
	return w.poll.close()
}

// run asks until it is time, and then hears the answers that are still to come.
func (w *worker) run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w.born = time.Now()
	next := 0.0 // when the next question is due
	last := int64(0)
	for ctx.Err() == nil {
		now := int64(time.Since(w.born))
		asking := now < w.end && w.quota != 0
		if !asking && len(w.free) == len(w.conns) {
			break
		}
		if asking {
			var err error
			if next, err = w.askDue(now, next); err != nil {
				return err
			}
		}
		ready, err := w.poll.wait(w.pause(asking, now, next))
		if err != nil {
			return err
		}
		for _, i := range ready {
			last = now
			if err := w.hear(&w.conns[i], i); err != nil {
				return err
			}
		}
		if now-last > int64(quiet) {
			if asking {
				return fmt.Errorf("no answer for %v", quiet)
			}
			break
		}
	}
	w.result.Unheard = int64(len(w.conns) - len(w.free))
	w.result.Elapsed = min(time.Since(w.born), time.Duration(w.end)) - w.load.Warmup
	return nil
}

// askDue asks what is due, and returns when the next question will be.
func (w *worker) askDue(now int64, next float64) (float64, error) {
	for len(w.free) > 0 && int64(next) <= now && w.quota != 0 {
		i := w.free[len(w.free)-1]
		w.free = w.free[:len(w.free)-1]
		due := now
		if w.gap > 0 {
			due = int64(next)
			// Who comes does not know of who came before: exponential gaps.
			next += w.gap * w.rand.ExpFloat64()
		}
		if err := w.ask(&w.conns[i], due); err != nil {
			return next, err
		}
	}
	if w.gap > 0 && int64(next) < now {
		w.result.PeakWait = max(w.result.PeakWait, int64(float64(now-int64(next))/w.gap))
	}
	return next, nil
}

// pause is how long there is nothing to do but to hear answers.
func (w *worker) pause(asking bool, now int64, next float64) time.Duration {
	switch {
	case !asking || len(w.free) == 0 || w.gap == 0:
		return coarse
	default:
		return max(time.Duration(int64(next)-now), time.Nanosecond)
	}
}

func (w *worker) ask(c *conn, due int64) error {
	var q Question
	w.source.Next(&q)
	w.out = w.dialect.Append(w.out[:0], &q)
	c.due, c.asked = due, true
	if w.quota > 0 {
		w.quota--
	}
	n, err := write(c.fd, w.out)
	if err == nil && n < len(w.out) {
		err = fmt.Errorf("%d of %d bytes", n, len(w.out))
	}
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	return nil
}

// hear reads what has come over a connection.
func (w *worker) hear(c *conn, i int) error {
	n, err := read(c.fd, c.in[c.n:])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil:
		return fmt.Errorf("hearing: %w", err)
	case n == 0:
		return fmt.Errorf("the server has closed a connection after %d answers", w.result.All)
	}
	c.n += n
	length, said, err := w.dialect.Answer(c.in[:c.n])
	if err != nil {
		return err
	}
	if length == 0 {
		if c.n == len(c.in) {
			return fmt.Errorf("an answer of more than %d bytes", len(c.in))
		}
		return nil
	}
	if length < c.n || !c.asked {
		return fmt.Errorf("an answer that was not asked for: %q", c.in[:c.n])
	}
	c.n, c.asked = 0, false
	w.free = append(w.free, i)
	w.result.All++
	w.result.Said[said]++
	now := int64(time.Since(w.born))
	if c.due < w.measure || (w.gap == 0 && now > w.end) {
		return nil
	}
	w.result.Answers++
	// Beyond what the histogram holds is as bad as the worst that it holds.
	return w.result.Latency.RecordValue(min(max(now-c.due, shortest), longest))
}
