package memory

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/saslguard/saslguard/store/boltfile"
)

// formatVersion is the version of what the buckets hold. A file of a newer one
// is not touched: it is set aside.
const formatVersion = 1

type bucket = string

// The buckets and the keys of bucketMeta.
const (
	nameMeta    bucket = "meta"
	nameScores  bucket = "scores"  // shard, record → subjects
	nameLedger  bucket = "ledger"  // entry's name → entry
	nameHistory bucket = "history" // entry's name → how often it was banned
	namePairs   bucket = "pairs"   // account, network → when it ends
	nameRights  bucket = "rights"  // account → right passwords
	// Made when it is first needed.
	nameRemovals bucket = "removals" // entry's name → when it was lifted, and whether that is to be handed over

	metaVersion    = "format"
	metaKey        = "key"
	metaPosition   = "position"    // of a ledger that is no copy
	metaMirrored   = "mirrored"    // the name of the ledger that is mirrored
	metaMirroredAt = "mirrored at" // its position, and the name of the ledger that this is of
)

// prepare makes sure that the transaction's file has our format, and gives it
// to a new one.
func prepare(tx *bbolt.Tx) error {
	meta := tx.Bucket([]byte(nameMeta))
	if meta == nil {
		if name, _ := tx.Cursor().First(); name != nil {
			return boltfile.ErrForeign
		}
		return create(tx)
	}
	v := meta.Get([]byte(metaVersion))
	if len(v) != 4 || len(meta.Get([]byte(metaKey))) != 16 {
		return boltfile.ErrForeign
	}
	if n := binary.LittleEndian.Uint32(v); n != formatVersion {
		return fmt.Errorf("%w: it has format %d, and this saslguard writes %d", boltfile.ErrVersion, n, formatVersion)
	}
	for _, name := range []bucket{nameScores, nameLedger, nameHistory, namePairs, nameRights} {
		if tx.Bucket([]byte(name)) == nil {
			return fmt.Errorf("%w: it has no %s", boltfile.ErrForeign, name)
		}
	}
	return nil
}

func create(tx *bbolt.Tx) error {
	for _, name := range []bucket{nameMeta, nameScores, nameLedger, nameHistory, namePairs, nameRights} {
		if _, err := tx.CreateBucket([]byte(name)); err != nil {
			return err
		}
	}
	meta := tx.Bucket([]byte(nameMeta))
	if err := meta.Put([]byte(metaVersion), binary.LittleEndian.AppendUint32(nil, formatVersion)); err != nil {
		return err
	}
	key := newKey()
	return meta.Put([]byte(metaKey), key[:])
}

// newKey returns a random key.
func newKey() (key [16]byte) {
	// It never fails: without randomness the process ends.
	_, _ = rand.Read(key[:])
	return key
}
