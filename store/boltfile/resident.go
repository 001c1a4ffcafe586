package boltfile

import "go.etcd.io/bbolt"

// residentBytes is about how much may be written until the process lets go of the
// pages of its file.
const residentBytes = 4 << 20

// letGo takes the file's pages out of the memory of this process, where bbolt has
// mapped them and each that it looks at stays. They remain in the system's cache as
// long as there is room, and come back when they are looked at. Otherwise the whole
// file would be resident sooner or later.
func (f *File) letGo(tx *bbolt.Tx) {
	// bbolt maps the file anew only when no transaction reads.
	unmapPages(f.DB.Info().Data, uintptr(tx.Size()))
}

// wrote lets go now and then, after so much was written.
func (f *File) wrote() {
	stats := f.DB.Stats()
	n := stats.TxStats.GetPageAlloc()
	if was := f.resident.Load(); n-was >= residentBytes && f.resident.CompareAndSwap(was, n) {
		_ = f.View(func(*bbolt.Tx) error { return nil })
	}
}
