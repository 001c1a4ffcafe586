package logfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/saslguard/saslguard/maillog"
)

const (
	chunk    = 256 << 10 // is read at once
	lookAt   = 1000      // lines, for one that is understood
	lookInto = 512 << 10 // bytes of a stream, for the same
)

// Lines gives the log's lines, without their ends, until yield returns false. A line
// is good until yield returns; its bytes may be changed. One that is longer than
// maillog.MaxLine is cut there, and what is behind it belongs to no line.
//
// A compressed file that ends too early gives all its whole lines; the rest of a
// line might say something else than the line did.
func (l *Log) Lines(yield func(line []byte) bool) error {
	raw := l.stream
	if raw == nil {
		f, err := os.Open(l.name)
		if err != nil {
			return err
		}
		defer f.Close()
		raw = f
	}
	l.read.Store(0)
	l.lines, l.cut = 0, 0
	buffered := bufio.NewReaderSize(&counted{raw, &l.read}, 64<<10)
	text, _, done, err := decompressed(buffered)
	defer done()
	if err == nil {
		s := splitter{r: text, whole: text != io.Reader(buffered), yield: yield}
		err = s.split()
		l.lines, l.cut = s.lines, s.cut
	}
	return l.failed(err)
}

// failed says in which log and where an error was.
func (l *Log) failed(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s: ends in the middle of its compressed data, after line %d: %w", l.name, l.lines, err)
	case l.lines > 0:
		return fmt.Errorf("%s: after line %d, about byte %d of the file: %w", l.name, l.lines, l.read.Load(), err)
	default:
		return fmt.Errorf("%s: %w", l.name, err)
	}
}

// counted counts the bytes that are read.
type counted struct {
	r io.Reader
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// splitter splits what it reads into lines. The buffer holds any line that is not
// cut, and a chunk.
type splitter struct {
	r          io.Reader
	whole      bool // a last line without its end is none if reading failed
	yield      func(line []byte) bool
	lines, cut int64
	buf        []byte
	skipping   bool // the rest of a line that was cut
}

func (s *splitter) split() error {
	s.buf = make([]byte, maillog.MaxLine+chunk)
	held, idle := 0, 0 // bytes of a line that has no end yet; reads without any
	for {
		n, err := s.r.Read(s.buf[held : held+chunk])
		if idle++; n > 0 {
			idle = 0
		} else if err == nil && idle > 100 {
			return io.ErrNoProgress
		}
		rest, on := s.give(s.buf[:held+n])
		if !on {
			return nil
		}
		held = copy(s.buf, rest)
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			if !s.whole && held > 0 && !s.skipping {
				s.one(s.buf[:held])
			}
			return err
		}
		if held > 0 && !s.skipping {
			s.one(s.buf[:held])
		}
		return nil
	}
}

// give yields the whole lines of b and returns the rest, never more than a line
// may have.
func (s *splitter) give(b []byte) (rest []byte, on bool) {
	for {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			break
		}
		if line := b[:end]; s.skipping {
			s.skipping = false
		} else if !s.one(line) {
			return nil, false
		}
		b = b[end+1:]
	}
	if s.skipping {
		return nil, true
	}
	if len(b) > maillog.MaxLine {
		s.skipping = true
		return nil, s.one(b)
	}
	return b, true
}

// one yields a line.
func (s *splitter) one(line []byte) bool {
	s.lines++
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if len(line) > maillog.MaxLine {
		s.cut++
		line = line[:maillog.MaxLine]
	}
	return s.yield(line)
}

// look finds the time of the first line that is understood. Of a stream it reads
// only the beginning, and puts it back.
func (l *Log) look(o maillog.Options) error {
	if l.stream != nil {
		head := make([]byte, lookInto)
		n, err := io.ReadFull(l.stream, head)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		l.stream = io.MultiReader(bytes.NewReader(head[:n]), l.stream)
		return l.lookAt(bytes.NewReader(head[:n]), o)
	}
	f, err := os.Open(l.name)
	if err != nil {
		return err
	}
	defer f.Close()
	return l.lookAt(f, o)
}

// lookAt leaves errors of reading to Lines, which gives what was before them; only
// what cannot be read at all is one.
func (l *Log) lookAt(raw io.Reader, o maillog.Options) error {
	text, written, done, err := decompressed(bufio.NewReaderSize(raw, 64<<10))
	defer done()
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	if written.After(time.Unix(0, 0)) && (l.changed.IsZero() || written.Before(l.changed)) {
		l.changed = written
	}
	o.Latest = l.changed
	parser, n := maillog.New(o), 0
	s := splitter{r: text, whole: true}
	s.yield = func(line []byte) bool {
		if at := parser.When(line); !at.IsZero() {
			l.first = at
			return false
		}
		n++
		return n < lookAt
	}
	_ = s.split()
	return nil
}
