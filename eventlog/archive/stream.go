package archive

import (
	"encoding/binary"
	"iter"
	"time"

	"go.etcd.io/bbolt"

	"github.com/saslguard/saslguard/store/boltfile"
)

// stream is a stream with what is known of its lines in the file. A line's key is
// its number, its value the time in Unix milliseconds and the text, sealed.
type stream struct {
	Stream
	kept     kept
	restored bool
	waiting  []Line // taken, and not written yet
	torn     int    // lines that could not be read
}

// kept is what the file has of a stream.
type kept struct {
	next   uint64 // the number of the next line
	count  int
	octets int64
	oldest time.Time
	since  time.Time // all that happened since then is there
}

const sinceKey = "since "

func (s *stream) bucket(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket([]byte(s.Name)) }

// load counts what the file has.
func (s *stream) load(tx *bbolt.Tx) error {
	s.kept = kept{}
	if ms := tx.Bucket([]byte(metaBucket)).Get([]byte(sinceKey + s.Name)); len(ms) == 8 {
		s.kept.since = time.UnixMilli(int64(binary.LittleEndian.Uint64(ms))).UTC()
	}
	c := s.bucket(tx).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if len(k) == 8 {
			s.kept.next = binary.BigEndian.Uint64(k) + 1
		}
		if s.kept.count++; s.kept.oldest.IsZero() {
			s.kept.oldest = lineOf(k, v).At
		}
		s.kept.octets += int64(len(v))
	}
	return nil
}

// restore hands on the lines and since when they are whole, once.
func (s *stream) restore(lines iter.Seq[Line], since time.Time) {
	if !s.restored && s.Restore != nil {
		s.Restore(lines, since)
	}
	s.restored = true
}

// each calls yield with the lines, the oldest first.
func (s *stream) each(tx *bbolt.Tx, yield func(Line) bool) {
	c := s.bucket(tx).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		l := lineOf(k, v)
		if l.Text == nil {
			s.torn++
			continue
		}
		if !yield(l) {
			return
		}
	}
}

// lineOf reads a record. One that cannot be read has no text, and is as old as can
// be.
func lineOf(key, value []byte) Line {
	v, err := boltfile.Unseal(key, value)
	if err != nil || len(key) != 8 || len(v) < 9 {
		return Line{At: time.UnixMilli(0)}
	}
	return Line{At: time.UnixMilli(int64(binary.LittleEndian.Uint64(v))).UTC(), Text: v[8:]}
}

func (k *kept) put(b *bbolt.Bucket, l Line) error {
	key := binary.BigEndian.AppendUint64(nil, k.next)
	value := make([]byte, 0, 8+len(l.Text)+4)
	value = append(binary.LittleEndian.AppendUint64(value, uint64(l.At.UnixMilli())), l.Text...)
	value = boltfile.Seal(key, value)
	k.next++
	k.count++
	k.octets += int64(len(value))
	if k.oldest.IsZero() {
		k.oldest = l.At
	}
	return b.Put(key, value)
}

// over tells whether the oldest line is beyond the bounds.
func (s *stream) over(k *kept, now time.Time) bool {
	return k.count > s.Max || k.count > 0 && (k.octets > s.Octets || k.oldest.Before(now.Add(-s.Keep)))
}

// write writes what is new and lets go of the oldest beyond the bounds, in one
// transaction, and tells whether there may be more to do.
func (s *stream) write(file *boltfile.File, now time.Time) (more bool, err error) {
	if n := takeLines - len(s.waiting); n > 0 && s.restored && s.Take != nil {
		s.waiting = append(s.waiting, s.Take(n)...)
	}
	k := s.kept
	if k.since.IsZero() {
		k.since = now.UTC()
	}
	if len(s.waiting) == 0 && !s.over(&k, now) && k.since.Equal(s.kept.since) {
		return false, nil
	}
	err = file.Update(func(tx *bbolt.Tx) error {
		b := s.bucket(tx)
		for _, l := range s.waiting {
			if err := k.put(b, l); err != nil {
				return err
			}
		}
		if err := s.trim(b, &k, now); err != nil {
			return err
		}
		since := binary.LittleEndian.AppendUint64(nil, uint64(k.since.UnixMilli()))
		return tx.Bucket([]byte(metaBucket)).Put([]byte(sinceKey+s.Name), since)
	})
	if err != nil {
		return false, err
	}
	full := len(s.waiting) >= takeLines
	s.kept, s.waiting = k, nil
	return full || s.over(&k, now), nil
}

// trim lets go of the oldest lines beyond the bounds, so many at a time.
func (s *stream) trim(b *bbolt.Bucket, k *kept, now time.Time) error {
	c := b.Cursor()
	key, value := c.First()
	for n := 0; n < trimLines && key != nil && s.over(k, now); n++ {
		gone, size := lineOf(key, value).At, int64(len(value))
		if err := b.Delete(key); err != nil {
			return err
		}
		if !gone.Before(k.since) {
			k.since = gone
		}
		k.count--
		k.octets -= size
		if key, value = c.Seek(key); key != nil {
			k.oldest = lineOf(key, value).At
		} else {
			*k = kept{next: k.next, since: k.since}
		}
	}
	return nil
}
