package follow

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxLine   = 64 << 10  // a longer line is dropped: what is cut off may be the part that tells the client
	chunkSize = 256 << 10 // read at once
)

// errTruncated says that what was read of a file is no longer in it.
var errTruncated = errors.New("the file is no longer what has been read of it")

// tail is a file that is read while it grows. It is read by its descriptor, so
// that it does not matter what becomes of its name.
type tail struct {
	file   *os.File
	id     fileID
	name   string // under which it was opened
	offset int64  // of the first byte that has not been taken

	head     []byte // the file's beginning, as far as it lies before offset
	before   []byte // what lies before offset: if it changes, the file was truncated
	skipping bool   // offset is inside a line whose beginning was not read
	ended    bool   // there was nothing behind offset
	grew     time.Time
}

// openTail opens a file at an offset. Anything but a regular file is an error;
// a FIFO would block.
func openTail(name string, offset int64, now time.Time) (*tail, error) {
	f, err := openRegular(name)
	if err != nil {
		return nil, err
	}
	return tailOf(f, name, offset, now)
}

func openRegular(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &os.PathError{Op: "follow", Path: name, Err: errors.New("it is no regular file")}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// tailOf takes over an open file, and closes it if it fails.
func tailOf(f *os.File, name string, offset int64, now time.Time) (*tail, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	t := &tail{file: f, id: idOf(info), name: name, grew: now}
	if err := t.jump(offset); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// A place that is not behind a newline is inside a line.
	t.skipping = len(t.before) > 0 && t.before[len(t.before)-1] != '\n'
	return t, nil
}

func (t *tail) close() { _ = t.file.Close() } // it was only read

// jump sets the offset, and learns what lies before it.
func (t *tail) jump(offset int64) error {
	n := min(offset, printSize)
	head, before := make([]byte, n), make([]byte, n)
	if _, err := t.file.ReadAt(head, 0); err != nil && n > 0 {
		return fmt.Errorf("reading %s: %w", t.name, err)
	}
	if _, err := t.file.ReadAt(before, offset-n); err != nil && n > 0 {
		return fmt.Errorf("reading %s at %d: %w", t.name, offset-n, err)
	}
	t.offset, t.head, t.before = offset, head, before
	return nil
}

// restart begins anew at the beginning of a file that was truncated.
func (t *tail) restart() { t.offset, t.before, t.head, t.skipping = 0, nil, nil, false }

// place is where the tail is.
func (t *tail) place() place {
	return place{fileID: t.id, Offset: t.offset, Head: markOf(t.head), Before: markOf(t.before), Ended: t.ended}
}

// read returns what follows the offset, of which take says how much was taken.
// It is empty at the end of the file. What lies before the offset is read once
// more in the same call: if it has changed, the file was truncated and written
// again, and what follows is not what it seems. buf has room for chunkSize.
func (t *tail) read(buf []byte) ([]byte, error) {
	n := len(t.before)
	got, err := t.file.ReadAt(buf[:n+chunkSize], t.offset-int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: %w", t.name, err)
	}
	if got < n || !bytes.Equal(buf[:n], t.before) {
		return nil, errTruncated
	}
	return buf[n:got], nil
}

// take moves the offset behind bytes that read returned.
func (t *tail) take(b []byte, now time.Time) {
	t.offset += int64(len(b))
	t.head = append(t.head, b[:min(len(b), printSize-len(t.head))]...)
	if len(b) >= printSize {
		t.before = append(t.before[:0], b[len(b)-printSize:]...)
	} else if t.before = append(t.before, b...); len(t.before) > printSize {
		t.before = append(t.before[:0], t.before[len(t.before)-printSize:]...)
	}
	t.grew = now
}

// skipHole moves the offset behind NULs, as they are where a file was truncated
// under a program that goes on writing at its old offset: there may be gigabytes
// of them, which take no room on the disk.
func (t *tail) skipHole(zeros []byte, now time.Time) (skipped int64, err error) {
	from := t.offset
	t.take(zeros, now)
	data, err := unix.Seek(int(t.file.Fd()), t.offset, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) { // nothing but a hole up to the end
		info, err := t.file.Stat()
		if err != nil {
			return 0, err
		}
		data = info.Size()
	} else if err != nil {
		return t.offset - from, nil // a file system without holes: they are read
	}
	if data > t.offset {
		err = t.jump(data)
	}
	return t.offset - from, err
}

// lines cuts a chunk into its lines and calls each with the line and where in the
// chunk it begins and ends, until that returns false. It returns how much of the
// chunk the calls covered; the rest is the beginning of a line that is not
// complete yet. A line that is too long is told to long instead, once.
func (t *tail) lines(chunk []byte, each func(line []byte, at, end int) bool, long func()) int {
	at := 0
	for at < len(chunk) {
		n := bytes.IndexByte(chunk[at:], '\n')
		if n < 0 {
			break
		}
		line, end := chunk[at:at+n], at+n+1
		line = bytes.TrimSuffix(line[zeros(line):], []byte("\r"))
		switch {
		case t.skipping:
			t.skipping = false
		case len(line) > maxLine:
			long()
		case len(line) > 0 && !each(line, at, end):
			return end
		}
		at = end
	}
	if t.skipping {
		return len(chunk)
	}
	at += zeros(chunk[at:])
	if len(chunk)-at > maxLine {
		long()
		t.skipping = true
		return len(chunk)
	}
	return at
}

// zeros is how many NULs there are at the beginning.
func zeros(b []byte) int { return len(b) - len(bytes.TrimLeft(b, "\x00")) }
