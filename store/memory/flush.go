package memory

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/saslguard/saslguard/score"
)

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

// flush writes what has changed, a transaction for each shard, so that a ban
// never waits for more than one of them.
func (s *Store) flush() error {
	began := time.Now()
	defer func() { s.meters.flush.Observe(time.Since(began).Seconds()) }()
	for i := range s.shards {
		// What fails for one shard would fail for the next.
		if err := s.flushShard(i); err != nil {
			return fmt.Errorf("writing scores: %w", err)
		}
	}
	return nil
}

func (s *Store) flushShard(i int) error {
	p := &s.shards[i]
	chunks, rewrite := p.takeDirty()
	if len(chunks) == 0 && !rewrite {
		return nil
	}
	err := s.file.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(nameScores))
		if rewrite {
			if err := deletePrefix(b, []byte{byte(i)}); err != nil {
				return err
			}
		}
		for _, chunk := range chunks {
			key := chunkKey(i, chunk)
			value := p.encodeChunk(chunk)
			if err := putOrDelete(b, key, value != nil, func() []byte { return value }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		p.putDirty(chunks, rewrite)
	}
	return err
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

func chunkKey(shard, chunk int) []byte {
	return binary.BigEndian.AppendUint32([]byte{byte(shard)}, uint32(chunk))
}

// takeDirty returns the chunks of heads that the file does not have as they
// are, and takes them as written.
func (s *shard) takeDirty() (chunks []int, rewrite bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, dirty := range s.dirty {
		if dirty {
			chunks = append(chunks, i)
			s.dirty[i] = false
		}
	}
	rewrite, s.rewrite = s.rewrite, false
	return chunks, rewrite
}

// putDirty takes back what takeDirty took.
func (s *shard) putDirty(chunks []int, rewrite bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range chunks {
		s.dirty[i] = true
	}
	s.rewrite = s.rewrite || rewrite
}

// encodeChunk encodes the subjects of a chunk of heads, nil if there are none.
func (s *shard) encodeChunk(chunk int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := []byte{subjectsVersion}
	for slot := uint32(chunk * chunkCells); slot < min(uint32((chunk+1)*chunkCells), s.heads.used); slot++ {
		h := head{s.heads.at(slot)}
		if slot == 0 || !h.used() {
			continue
		}
		s.unpack(slot)
		if s.subject.Score > 0 || s.subject.Repeats > 0 {
			b = appendSubject(b, h.key(), h.kind(), &s.subject)
		}
	}
	if len(b) == 1 {
		return nil
	}
	return b
}

// adopt takes in a subject from the file, which lies in the scratch subject.
func (s *shard) adopt(key uint64, kind score.Kind, now int64, r *score.Rules) {
	if _, known := s.index[key]; !known {
		s.owned = 0
		s.save(0, key, kind, now, r)
	}
}
