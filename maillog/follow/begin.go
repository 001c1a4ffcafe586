package follow

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"go.uber.org/zap"
)

// primeBytes are read once more before a place: a parser joins lines, and those
// of before the restart belong to those after it.
const primeBytes = 64 << 10

// begin decides where reading begins. Until it can, it says why not, and is
// called again.
func (s *source) begin() error {
	if s.saved != nil {
		return s.resume()
	}
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) && s.first == nil {
		s.begun = true // all that comes is new
		s.snapshot()
		return nil
	}
	if err != nil {
		return err
	}
	if s.first == nil {
		// It may be unreadable yet: what is written until it can be read is new.
		s.first = &place{fileID: idOf(info)}
		if s.feed.since.IsZero() {
			s.first.Offset = info.Size()
		}
	}
	offset := s.first.Offset
	if idOf(info) != s.first.fileID || info.Size() < offset {
		offset = 0
	}
	if s.current, err = openTail(s.path, offset, s.now()); err != nil {
		return err
	}
	s.setTrouble(nil)
	s.begun = true
	s.snapshot()
	s.log.Info("following a log", zap.String("source", s.path), zap.Int64("from", offset))
	return nil
}

// snapshot notes what lies beside the log and is none of our business.
func (s *source) snapshot() {
	s.looked = s.now()
	files, err := s.beside()
	if err != nil {
		return // nothing is there
	}
	for _, f := range files {
		if f.info.Size() > 0 {
			s.known = append(s.known, siblingOf(f.file, f.info))
		}
		f.close()
	}
}

// resume goes on where the process before stopped: in the same files, whatever
// they are called now, or in copies of them; then in those that came after.
func (s *source) resume() error {
	files, err := s.beside()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	defer func() {
		for _, f := range files {
			if f.file != nil {
				f.close()
			}
		}
	}()
	current, err := openRegular(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		info, err := current.Stat()
		if err != nil {
			return errors.Join(err, current.Close())
		}
		// The first, since others may be copies of it.
		files = append([]*besideFile{{s.path, current, info}}, files...)
	}
	s.looked, s.known = s.saved.Looked, s.saved.Known
	lost := s.findPlaces(files)
	s.addSince(files)
	if lost != nil {
		s.feed.since = s.saved.Latest
		s.tellLost(lost)
	}
	s.begun, s.rescan = true, true
	s.prime()
	s.setTrouble(nil)
	s.log.Info("following a log where it was left", zap.String("source", s.path), zap.Int("files", len(s.tails())))
	return nil
}

// findPlaces opens the files in which reading goes on, and returns the last
// place whose file is gone, or nil. A file that it takes is nil afterwards.
func (s *source) findPlaces(files []*besideFile) (lost *place) {
	for i := range s.saved.Places {
		p := &s.saved.Places[i]
		f := s.fileOf(p, files)
		if f == nil {
			if last := i == len(s.saved.Places)-1; last || !p.Ended {
				lost = p
			}
			continue
		}
		t, err := tailOf(f.file, f.name, p.Offset, s.now())
		f.file = nil
		switch {
		case err != nil:
			lost = p
		case f.name == s.path:
			s.current = t
		default:
			s.old = append(s.old, t)
		}
	}
	return lost
}

// fileOf finds the file of a place; of a file and its copies, the file.
func (s *source) fileOf(p *place, files []*besideFile) (found *besideFile) {
	for _, f := range files {
		if f.file == nil || !p.in(f.file) {
			continue
		}
		if found == nil || idOf(f.info) == p.fileID {
			found = f
		}
	}
	return found
}

// addSince adds the files that came after the places: those at the path while
// nobody looked, and the one that is there now.
func (s *source) addSince(files []*besideFile) {
	for _, f := range files {
		if f.file == nil || f.name != s.path && (!s.unseen(f) || s.isCopy(f)) {
			continue
		}
		t, err := tailOf(f.file, f.name, 0, s.now())
		f.file = nil
		switch {
		case err != nil:
			s.setTrouble(err)
		case f.name == s.path:
			s.current = t
		default:
			s.old = append(s.old, t)
		}
	}
}

// isCopy tells whether a file begins like one in which a place was.
func (s *source) isCopy(f *besideFile) bool {
	return slices.ContainsFunc(s.saved.Places, func(p place) bool { return p.Head.Length > 0 && p.Head.on(f.file, 0) })
}

// tellLost says how much may be missing.
func (s *source) tellLost(p *place) {
	packed := "none"
	for _, where := range s.places() {
		dir, base := filepath.Split(where)
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			info, err := e.Info()
			if err == nil && olderName(base, e.Name()) && compressed(e.Name()) && info.ModTime().After(s.saved.Looked) {
				packed = dir + e.Name()
			}
		}
	}
	s.metrics.lost.Inc()
	s.log.Warn("a part of the log was rotated away while nobody read it, and is compressed or deleted: lines written since are missing, up to the oldest that is left; "+
		"delaycompress in logrotate's settings avoids it",
		zap.String("source", s.path), zap.Time("since", s.saved.Saved), zap.Int64("read_to_byte", p.Offset), zap.String("compressed", packed))
}

// prime gives the parser the lines before the first place.
func (s *source) prime() {
	all := s.tails()
	if len(all) == 0 {
		return
	}
	t := all[0]
	from := max(0, t.offset-primeBytes)
	chunk := make([]byte, t.offset-from)
	if n, _ := t.file.ReadAt(chunk, from); n < len(chunk) {
		return
	}
	s.feed.priming = true
	defer func() { s.feed.priming = false }()
	part := tail{skipping: from > 0}
	part.lines(chunk, func(line []byte, _, _ int) bool { s.feed.line(line, 0); return true }, func() {})
}
