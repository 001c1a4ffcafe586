package memory

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/saslguard/saslguard/score"
)

const (
	// recordHeads is how many heads share a record of the file. What changes here
	// and there costs the less the fewer they are, and a flood that changes
	// everything the less the more they are.
	recordHeads = 128
	// flushBytes is how much is written in one transaction, but for the last
	// record of it.
	flushBytes = 1 << 20
)

// piece is what is written at once: one record of a shard, or all of them after
// those of an earlier run, which are numbered otherwise.
type piece struct{ shard, record int }

const wholeShard = -1

// flushLoop writes changed scores now and then.
func (s *Store) flushLoop() {
	if s.file == nil {
		return
	}
	ticker := time.NewTicker(s.options.FlushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			_ = s.flush() // counted and logged by the file
		case <-s.done:
			return
		}
	}
}

// flush writes what has changed, in transactions of a bounded size, so that a
// ban never waits for more than one of them.
func (s *Store) flush() error {
	began := time.Now()
	defer func() { s.meters.flush.Observe(time.Since(began).Seconds()) }()
	failures := s.file.Failures()
	var work []piece
	for i := range s.shards {
		work = s.shards[i].takeDirty(i, work)
	}
	for len(work) > 0 {
		n, err := s.flushSome(work)
		if err != nil {
			// What fails for one piece would fail for the next.
			s.putDirty(work)
			return fmt.Errorf("writing scores: %w", err)
		}
		work = work[n:]
	}
	return s.file.Settle(failures)
}

// flushSome writes the first pieces in one transaction, and returns how many.
func (s *Store) flushSome(work []piece) (n int, err error) {
	err = s.file.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(nameScores))
		for size := 0; n < len(work) && size < flushBytes; n++ {
			wrote, err := s.shards[work[n].shard].write(b, work[n])
			if err != nil {
				return err
			}
			size += wrote
		}
		return nil
	})
	return n, err
}

// write puts a piece as it is now, and returns how large it is.
func (s *shard) write(b *bbolt.Bucket, p piece) (size int, err error) {
	if p.record != wholeShard {
		return s.writeRecord(b, p.shard, p.record)
	}
	if err := deletePrefix(b, []byte{byte(p.shard)}); err != nil {
		return 0, err
	}
	for i := range s.records() {
		n, err := s.writeRecord(b, p.shard, i)
		if err != nil {
			return 0, err
		}
		size += n
	}
	return size, nil
}

func (s *shard) writeRecord(b *bbolt.Bucket, shard, record int) (size int, err error) {
	key, value := recordKey(shard, record), s.encodeRecord(record)
	return len(value), putOrDelete(b, key, value != nil, func() []byte { return value })
}

func deletePrefix(b *bbolt.Bucket, prefix []byte) error {
	c := b.Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Seek(prefix) {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

func recordKey(shard, record int) []byte {
	return binary.BigEndian.AppendUint32([]byte{byte(shard)}, uint32(record))
}

// takeDirty appends the records that the file does not have as they are, and
// takes them as written.
func (s *shard) takeDirty(shard int, work []piece) []piece {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rewrite {
		work = append(work, piece{shard, wholeShard})
	}
	for i, dirty := range s.dirty {
		if dirty && !s.rewrite {
			work = append(work, piece{shard, i})
		}
		s.dirty[i] = false
	}
	s.rewrite = false
	return work
}

// putDirty takes back what takeDirty took.
func (s *Store) putDirty(work []piece) {
	for _, p := range work {
		s.shards[p.shard].putDirty(p.record)
	}
}

func (s *shard) putDirty(record int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if record == wholeShard {
		s.rewrite = true
	} else {
		s.dirty[record] = true
	}
}

// records is how many records the shard's heads make.
func (s *shard) records() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.dirty)
}

// encodeRecord encodes the subjects of a record's heads, nil if there are none.
func (s *shard) encodeRecord(record int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := []byte{subjectsVersion}
	for slot := uint32(record * recordHeads); slot < min(uint32((record+1)*recordHeads), s.heads.used); slot++ {
		h := head{s.heads.at(slot)}
		if slot == 0 || !h.used() || !h.lasting() {
			continue
		}
		s.unpack(&s.desk, slot)
		b = appendSubject(b, h.key(), h.kind(), &s.desk.Subject)
	}
	if len(b) == 1 {
		return nil
	}
	return b
}

// adopt takes in a subject from the file, which lies on the desk.
func (s *shard) adopt(key uint64, kind score.Kind, now int64, r *score.Rules) {
	if s.index.find(key, &s.heads) == 0 {
		s.desk.owned = 0
		s.save(&s.desk, 0, key, kind, now, r)
	}
}
