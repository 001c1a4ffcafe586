package boltfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// ErrRecord is returned of a value that is not as it was written.
var ErrRecord = errors.New("a record that cannot be read")

func checksum(key, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(key, table), table, value)
}

// Seal appends a CRC-32C over key and value to the value: bbolt checks its own
// pages only, and a flipped bit must not become somebody's ban.
func Seal(key, value []byte) []byte {
	return binary.LittleEndian.AppendUint32(value, checksum(key, value))
}

// Unseal checks the checksum and returns the value before it, which shares memory
// with the argument. Its error wraps ErrRecord.
func Unseal(key, sealed []byte) ([]byte, error) {
	if len(sealed) < 4 {
		return nil, fmt.Errorf("%w: %d bytes", ErrRecord, len(sealed))
	}
	value, sum := sealed[:len(sealed)-4], binary.LittleEndian.Uint32(sealed[len(sealed)-4:])
	if checksum(key, value) != sum {
		return nil, fmt.Errorf("%w: wrong checksum", ErrRecord)
	}
	return value, nil
}
