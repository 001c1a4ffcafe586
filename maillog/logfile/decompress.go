package logfile

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// maxWindow bounds the memory that a compressed file may ask for. xz -9 and zstd
// --ultra -22 need 64 and 128 MiB.
const maxWindow = 128 << 20

// The files that are told by their first bytes.
const (
	magicGzip    = "\x1f\x8b"
	magicBzip2   = "BZh"
	magicXz      = "\xfd7zXZ\x00"
	magicZstd    = "\x28\xb5\x2f\xfd"
	magicSkipped = "\x2a\x4d\x18" // after 0x5n: what zstd skips
	magicLz4     = "\x04\x22\x4d\x18"
	magicZip     = "PK\x03\x04"
	magicLzip    = "LZIP"
	magicJournal = "LPKSHHRH"
)

var errBinary = errors.New("is no text, and not compressed by gzip, bzip2, xz or zstd")

// decompressed returns what a file holds. The form is told by its first bytes and
// never by its name. written is the time that the form has kept, or zero.
func decompressed(raw *bufio.Reader) (r io.Reader, written time.Time, done func(), err error) {
	done = func() {}
	head, err := raw.Peek(64)
	if err != nil && len(head) == 0 && !errors.Is(err, io.EOF) {
		return nil, written, done, err
	}
	begins := func(magic string) bool { return strings.HasPrefix(string(head), magic) }
	err = nil
	switch {
	case begins(magicGzip):
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, written, done, unexpected(err)
		}
		return z, z.ModTime, done, nil
	case begins(magicBzip2):
		r = bzip2.NewReader(raw)
	case begins(magicXz):
		if err = xzWindow(head); err == nil {
			r, err = xz.NewReader(raw)
		}
	case begins(magicZstd), len(head) > 4 && head[0]>>4 == 5 && string(head[1:4]) == magicSkipped:
		var z *zstd.Decoder
		if z, err = zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow)); err == nil {
			r, done = z, z.Close
		}
	case begins(magicLz4):
		err = errors.New("is compressed by lz4, which is not read here: lz4 -dc FILE | saslguard replay -")
	case begins(magicLzip):
		err = errors.New("is compressed by lzip, which is not read here: lzip -dc FILE | saslguard replay -")
	case begins(magicZip):
		err = errors.New("is a zip archive, which is not read here: unzip -p FILE | saslguard replay -")
	case begins(magicJournal):
		err = errors.New("is a journal: journalctl --file FILE -o json | saslguard replay -")
	case bytes.Count(head, []byte{0}) > len(head)/4:
		err = errBinary
	default:
		r = raw
	}
	return r, written, done, unexpected(err)
}

// unexpected makes one error of the ways in which a file can end too early.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// xzWindow refuses a file whose first block asks for too much memory
// (https://tukaani.org/xz/xz-file-format.txt, sections 3.1 and 5.3.1). The library
// would give it.
func xzWindow(head []byte) error {
	const streamHeader = 12
	if len(head) < streamHeader+8 || head[streamHeader] == 0 {
		return nil // no block, or the library will complain
	}
	flags, rest := head[streamHeader+1], head[streamHeader+2:]
	for _, has := range [...]byte{0x40, 0x80} { // the block's sizes
		if flags&has != 0 {
			for len(rest) > 0 && rest[0]&0x80 != 0 {
				rest = rest[1:]
			}
			rest = rest[min(1, len(rest)):]
		}
	}
	if len(rest) < 3 || rest[0] != 0x21 || rest[1] != 1 {
		return nil // a filter that the library does not know
	}
	bits := int(rest[2] & 0x3f)
	if window := (2 | int64(bits&1)) << (bits/2 + 11); bits > 40 || window > maxWindow {
		return fmt.Errorf("asks for a window of more than %d MiB: xz -dc FILE | saslguard replay -", maxWindow>>20)
	}
	return nil
}
