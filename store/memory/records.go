package memory

import (
	"encoding/binary"
	"fmt"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store/boltfile"
)

func accountKey(account uint64) []byte {
	return binary.BigEndian.AppendUint64(nil, account)
}

func (k pairKey) bytes() []byte {
	return binary.BigEndian.AppendUint64(accountKey(k.account), k.network)
}

func encodePair(until uint32) []byte { return binary.LittleEndian.AppendUint32(nil, until) }

func decodePair(key, value []byte) (k pairKey, until uint32, err error) {
	if len(key) != 16 || len(value) != 4 {
		return k, 0, fmt.Errorf("%w: a pair of %d and %d bytes", boltfile.ErrRecord, len(key), len(value))
	}
	k = pairKey{binary.BigEndian.Uint64(key), binary.BigEndian.Uint64(key[8:])}
	return k, binary.LittleEndian.Uint32(value), nil
}

func encodeRights(r rights) []byte {
	var b []byte
	for i := range maxRights {
		if r.at[i] != 0 {
			b = binary.LittleEndian.AppendUint32(b, r.token[i])
			b = binary.LittleEndian.AppendUint32(b, r.at[i])
		}
	}
	return b
}

func decodeRights(key, value []byte) (account uint64, r rights, err error) {
	n := len(value) / 8
	if len(key) != 8 || len(value)%8 != 0 || n == 0 || n > maxRights {
		return 0, r, fmt.Errorf("%w: passwords of %d and %d bytes", boltfile.ErrRecord, len(key), len(value))
	}
	for i := range n {
		r.token[i] = binary.LittleEndian.Uint32(value[8*i:])
		r.at[i] = binary.LittleEndian.Uint32(value[8*i+4:])
		if r.at[i] == 0 || i > 0 && r.at[i] > r.at[i-1] {
			return 0, r, fmt.Errorf("%w: passwords out of order", boltfile.ErrRecord)
		}
	}
	return binary.BigEndian.Uint64(key), r, nil
}

// A record of subjects is a version and the subjects one after the other.
const (
	subjectsVersion = 1
	subjectBytes    = 1 + 8 + 8 + 4 + 4 + 4 + 1 // without its ring
)

// appendSubject encodes a subject without its places, which do not survive.
func appendSubject(b []byte, key uint64, kind score.Kind, s *score.Subject) []byte {
	b = append(b, byte(kind))
	b = binary.LittleEndian.AppendUint64(b, key)
	b = binary.LittleEndian.AppendUint64(b, clampTime(s.At))
	b = binary.LittleEndian.AppendUint32(b, uint32(s.Score))
	b = binary.LittleEndian.AppendUint32(b, uint32(s.Counted))
	b = binary.LittleEndian.AppendUint32(b, uint32(s.Repeats))
	b = append(b, byte(len(s.Ring)))
	for _, e := range s.Ring {
		b = binary.LittleEndian.AppendUint32(b, uint32(e))
	}
	return b
}

// decodeSubjects calls each with the subjects of a record. The subject is into,
// which each may not keep.
func decodeSubjects(b []byte, into *score.Subject, each func(key uint64, kind score.Kind)) error {
	if len(b) == 0 || b[0] != subjectsVersion {
		return fmt.Errorf("%w: scores of an unknown version", boltfile.ErrRecord)
	}
	for b = b[1:]; len(b) > 0; {
		if len(b) < subjectBytes {
			return fmt.Errorf("%w: a torn score", boltfile.ErrRecord)
		}
		kind, n := score.Kind(b[0]), int(b[subjectBytes-1])
		into.At = int64(binary.LittleEndian.Uint64(b[9:]))
		into.Score = score.Milli(binary.LittleEndian.Uint32(b[17:]))
		into.Counted = score.Milli(binary.LittleEndian.Uint32(b[21:]))
		into.Repeats = score.Milli(binary.LittleEndian.Uint32(b[25:]))
		ring := b[subjectBytes:]
		if kind > score.Pair || n > score.RingSize || len(ring) < 4*n || into.At < 0 || into.At > maxTime ||
			into.Score > score.MaxScore || into.Counted > score.MaxScore {
			return fmt.Errorf("%w: a score out of range", boltfile.ErrRecord)
		}
		into.Ring, into.Places = into.Ring[:0], into.Places[:0]
		for i := range n {
			into.Ring = append(into.Ring, score.Entry(binary.LittleEndian.Uint32(ring[4*i:])))
		}
		into.Recount()
		each(binary.LittleEndian.Uint64(b[1:]), kind)
		b = ring[4*n:]
	}
	return nil
}
