package archive

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/saslguard/saslguard/store/boltfile"
)

// formatVersion is the version of what the buckets hold: each stream's lines in one
// of its name, and in metaBucket the version and since when streams are whole.
const (
	formatVersion = 1

	metaBucket = "archive"
	metaFormat = "format"
)

// prepare makes sure that the transaction's file has our format, and gives it to a
// new one.
func (a *Archive) prepare(tx *bbolt.Tx) error {
	meta := tx.Bucket([]byte(metaBucket))
	if meta == nil {
		if name, _ := tx.Cursor().First(); name != nil {
			return boltfile.ErrForeign
		}
		var err error
		if meta, err = tx.CreateBucket([]byte(metaBucket)); err != nil {
			return err
		}
		if err := meta.Put([]byte(metaFormat), binary.LittleEndian.AppendUint32(nil, formatVersion)); err != nil {
			return err
		}
	}
	v := meta.Get([]byte(metaFormat))
	if len(v) != 4 {
		return boltfile.ErrForeign
	}
	if n := binary.LittleEndian.Uint32(v); n != formatVersion {
		return fmt.Errorf("%w: it has format %d, and this saslguard writes %d", boltfile.ErrVersion, n, formatVersion)
	}
	for _, s := range a.streams {
		if _, err := tx.CreateBucketIfNotExists([]byte(s.Name)); err != nil {
			return err
		}
	}
	return nil
}
