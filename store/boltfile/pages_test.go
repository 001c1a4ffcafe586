package boltfile

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// checkPages finds nothing wrong with what bbolt writes, whatever is put and
// deleted.
func TestSoundPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r := rand.New(rand.NewPCG(5, 6))
	check := func(step int) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := checkPages(f); err != nil {
			t.Fatalf("after %d transactions: %v", step, err)
		}
	}
	for step := range 600 {
		err := db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte{'a' + byte(r.IntN(4))})
			if err != nil {
				return err
			}
			// Waves of growing and shrinking, keys in order and at random.
			grow := step/150%2 == 0
			for range r.IntN(60) {
				key := binary.BigEndian.AppendUint64(nil, r.Uint64N(4000))
				if grow == (r.IntN(5) > 0) {
					err = b.Put(key, make([]byte, r.IntN(1+r.IntN(600))))
				} else {
					k, _ := b.Cursor().Seek(key)
					if k != nil {
						err = b.Delete(k)
					}
				}
				if err != nil {
					return err
				}
			}
			if r.IntN(20) == 0 {
				return b.Put([]byte("large"), make([]byte, r.IntN(100_000)))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		check(step)
	}
}
