package follow

import (
	"bytes"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"
)

// look finds out what is at the path, and follows it there.
func (s *source) look() error {
	if !s.begun {
		return s.begin()
	}
	// Of a file of which nothing has been read, no truncation can be seen: what was
	// in it is looked for among the copies, and once more when reading has begun.
	if fresh := s.current != nil && s.current.offset == 0; s.rescan || fresh {
		s.rescan = fresh
		s.addUnseen(mark{})
	}
	info, err := os.Stat(s.path)
	if err != nil {
		s.setMissing(err)
		return nil // what was open is read on
	}
	s.missing = time.Time{}
	if s.current != nil && idOf(info) == s.current.id {
		s.setTrouble(nil)
		return nil
	}
	t, err := openTail(s.path, 0, s.now())
	if err != nil {
		s.setTrouble(err)
		return nil
	}
	s.setTrouble(nil)
	if s.current != nil && t.id == s.current.id {
		t.close()
		return nil
	}
	s.rotated(t)
	return nil
}

// rotated goes on with another file at the path. What was there is read to its
// end first, then what came and went in between.
func (s *source) rotated(t *tail) {
	for i, o := range s.old {
		if o.id == t.id { // it has been given its name back
			t.close()
			t = o
			s.old = append(s.old[:i:i], s.old[i+1:]...)
			break
		}
	}
	if s.current != nil {
		s.current.grew = s.now()
		s.old = append(s.old, s.current)
		s.metrics.reopened[reopenedRotated].Inc()
		s.log.Info("the log was rotated; the new file is followed", zap.String("source", s.path))
	}
	s.current = t
	s.addUnseen(mark{})
	s.rescan = true // of a rename during the listing, one may have been missed
}

// truncated begins with the file anew. Whatever it had behind the place that was
// read lives on in a copy, if copytruncate made one.
func (s *source) truncated(t *tail) {
	s.metrics.reopened[reopenedTruncated].Inc()
	p := t.place()
	if c := s.findCopy(&p, t); c != nil {
		s.log.Info("the log was copied and truncated; what the copy has more is read first",
			zap.String("source", s.path), zap.String("copy", c.name))
		s.insertBefore(t, c)
	} else {
		s.log.Info("the log was truncated, and no copy of it was found: what was written to it in the last moment may be missing",
			zap.String("source", s.path), zap.Int64("read_to_byte", p.Offset))
	}
	t.restart()
	s.addUnseen(p.Head) // it may have been truncated twice
}

// insertBefore has a file read before another one of the source's.
func (s *source) insertBefore(t, c *tail) {
	for i, o := range s.old {
		if o == t {
			s.old = append(s.old[:i], append([]*tail{c}, s.old[i:]...)...)
			return
		}
	}
	s.old = append(s.old, c)
}

// addUnseen adds what lies beside the log and was never seen: files that came to
// the path and were rotated away, or truncated, between two looks. What begins like
// spent is a copy of which everything has been read.
func (s *source) addUnseen(spent mark) {
	began := s.now()
	files, err := s.beside()
	if err != nil {
		s.setTrouble(err)
		return
	}
	var known []sibling
	for _, f := range files {
		// A copy of the log may be about to become the only place of its lines.
		if f.info.Size() > 0 && !(s.current != nil && sameBeginning(s.current.file, f.file)) {
			known = append(known, siblingOf(f.file, f.info))
		}
		if !s.unseen(f) || spent.Length > 0 && spent.on(f.file, 0) {
			f.close()
			continue
		}
		t, err := tailOf(f.file, f.name, 0, began)
		if err != nil {
			s.setTrouble(err)
			continue
		}
		s.log.Info("a part of the log that came and went between two looks is read", zap.String("source", s.path), zap.String("file", f.name))
		s.old = append(s.old, t)
	}
	s.known, s.looked = known, began
}

// unseen tells whether a file beside the log is a part of it that nobody has
// read: it has been written to lately, is none that was there before, and no copy
// of one that is read.
func (s *source) unseen(f *besideFile) bool {
	if f.info.ModTime().Before(s.looked.Add(-mtimeSlack)) {
		return false
	}
	if slices.ContainsFunc(s.known, func(k sibling) bool { return k.is(f.file, f.info) }) {
		return false
	}
	for _, t := range s.tails() {
		if t.id == idOf(f.info) || sameBeginning(t.file, f.file) {
			return false
		}
	}
	return true
}

// sameBeginning tells whether one file may be a copy of another that was made
// before that had grown, or the other way round.
func sameBeginning(a, b *os.File) bool {
	x, y := beginning(a), beginning(b)
	n := min(len(x), len(y))
	return n > 0 && bytes.Equal(x[:n], y[:n])
}

// mtimeSlack is how far the clock of a file system may be behind ours.
const mtimeSlack = 2 * time.Second

// tails are all files that are read.
func (s *source) tails() []*tail {
	if s.current == nil {
		return s.old
	}
	return append(s.old[:len(s.old):len(s.old)], s.current)
}

// findCopy returns the copy that was made of a file before it was truncated,
// ready to be read on from a place, or nil.
func (s *source) findCopy(p *place, of *tail) *tail {
	files, err := s.beside()
	if err != nil {
		return nil
	}
	var found *tail
	for _, f := range files {
		if found == nil && p.Offset > 0 && idOf(f.info) != of.id && p.in(f.file) {
			if t, err := tailOf(f.file, f.name, p.Offset, s.now()); err == nil {
				found = t
			}
			continue
		}
		f.close()
	}
	return found
}
