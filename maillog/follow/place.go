package follow

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"syscall"
)

// printSize is how many bytes of a file's beginning, and of what lies before a
// place, tell whether it is still the same file.
const printSize = 256

// fileID names a file as long as it exists. A number is used again once it does
// not, so what a file contains decides, and this is for where it is empty.
type fileID struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

func idOf(info os.FileInfo) fileID {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}
	}
	return fileID{uint64(st.Dev), st.Ino}
}

// mark is a fingerprint of some bytes. The state file has no content of logs.
type mark struct {
	Length int    `json:"length"`
	Sum    string `json:"sum"` // SHA-256, the first half of it, in hexadecimal
}

func markOf(b []byte) mark {
	sum := sha256.Sum256(b)
	return mark{len(b), hex.EncodeToString(sum[:16])}
}

// on tells whether a mark is that of the bytes at an offset of a file.
func (m mark) on(r io.ReaderAt, offset int64) bool {
	if offset < 0 {
		return false
	}
	b := make([]byte, m.Length)
	if n, _ := r.ReadAt(b, offset); n < m.Length {
		return false
	}
	return markOf(b) == m
}

// place is how far a file has been read.
type place struct {
	fileID
	Offset int64 `json:"offset"` // of the first byte that is not counted yet
	Head   mark  `json:"head"`   // of the file's beginning, none of it behind Offset
	Before mark  `json:"before"` // of the bytes before Offset
	Ended  bool  `json:"ended"`  // there was nothing behind Offset
}

// in tells whether a file is the one that the place is in, or a copy of it. One
// of which nothing has been read has no content to tell it by.
func (p *place) in(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Size() < p.Offset {
		return false
	}
	if p.Head.Length == 0 {
		return idOf(info) == p.fileID
	}
	return p.Head.on(f, 0) && p.Before.on(f, p.Offset-int64(p.Before.Length))
}

// sibling is a file beside a log that has been seen there: an older part of it.
type sibling struct {
	Inode uint64 `json:"inode"`
	Head  mark   `json:"head"`
}

func siblingOf(f *os.File, info os.FileInfo) sibling {
	return sibling{idOf(info).Inode, markOf(beginning(f))}
}

// is tells whether a file is the sibling. It may have grown since.
func (s sibling) is(f *os.File, info os.FileInfo) bool {
	return s.Inode == idOf(info).Inode && s.Head.on(f, 0)
}

// beginning returns the first bytes of a file.
func beginning(r io.ReaderAt) []byte {
	b := make([]byte, printSize)
	n, _ := r.ReadAt(b, 0)
	return b[:n]
}
