package boltfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"
)

// resident is how much of a file this process has mapped, and of that in memory.
func resident(t *testing.T, path string) (mapped, in int) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(maps), path)
	if !found {
		t.Fatalf("%s is not mapped", path)
	}
	for line := range strings.Lines(rest) {
		if n, _ := fmt.Sscanf(line, "Size: %d kB", &mapped); n == 1 {
			continue
		}
		if n, _ := fmt.Sscanf(line, "Rss: %d kB", &in); n == 1 {
			return mapped << 10, in << 10
		}
	}
	t.Fatal("smaps does not say how much is resident")
	return 0, 0
}

// However large the file, what is written and read of it takes no memory for long,
// and what was let go is read as it was written.
func TestPagesDoNotStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large.db")
	name := []byte("lines")
	f, err := Open(path, Options{
		What: "file", Now: time.Now, Logger: zap.NewNop(),
		Prepare: func(tx *bbolt.Tx) error { _, err := tx.CreateBucketIfNotExists(name); return err },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.DB.NoSync = true
	const size, each = 96 << 20, 8 << 10
	value := func(i, round int) []byte {
		return bytes.Repeat(binary.BigEndian.AppendUint32(nil, uint32(i*7+round)), each/4)
	}
	most := 0
	for round := range 2 {
		for i := 0; i < size/each; {
			err := f.Update(func(tx *bbolt.Tx) error {
				for end := i + 128; i < end; i++ {
					if err := tx.Bucket(name).Put(binary.BigEndian.AppendUint32(nil, uint32(i)), value(i, round)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			_, in := resident(t, path)
			most = max(most, in)
		}
	}
	if mapped, _ := resident(t, path); mapped < size || most > 32<<20 {
		t.Errorf("%d MiB of %d were resident at once", most>>20, mapped>>20)
	}
	err = f.View(func(tx *bbolt.Tx) error {
		n := 0
		return tx.Bucket(name).ForEach(func(k, v []byte) error {
			if i := int(binary.BigEndian.Uint32(k)); i != n || !bytes.Equal(v, value(i, 1)) {
				t.Fatalf("the value of %d is another one", i)
			}
			n++
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, in := resident(t, path); in > 1<<20 {
		t.Errorf("%d KiB stay after everything was read", in>>10)
	}
}
