package memory

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/boltfile"
)

// bytes is the key's name in the file.
func (k entryKey) bytes() []byte {
	b := []byte{byte(k.kind)}
	if k.account != "" {
		return append(append(b, 'a'), k.account...)
	}
	return appendPrefix(append(b, 'p'), k.prefix)
}

func appendPrefix(b []byte, p netip.Prefix) []byte {
	return append(append(b, p.Addr().AsSlice()...), byte(p.Bits()))
}

// decodeEntryKey reverses entryKey.bytes.
func decodeEntryKey(b []byte) (k entryKey, err error) {
	if len(b) < 3 {
		return k, fmt.Errorf("%w: a name of %d bytes", boltfile.ErrRecord, len(b))
	}
	k.kind = store.EntryKind(b[0])
	switch rest := b[2:]; b[1] {
	case 'a':
		k.account = string(rest)
	case 'p':
		addr, ok := netip.AddrFromSlice(rest[:len(rest)-1])
		k.prefix = netip.PrefixFrom(addr, int(rest[len(rest)-1]))
		if !ok || !k.prefix.IsValid() {
			return k, fmt.Errorf("%w: no prefix", boltfile.ErrRecord)
		}
	default:
		return k, fmt.Errorf("%w: a name of kind %d", boltfile.ErrRecord, b[1])
	}
	e := store.Entry{Kind: k.kind, Prefix: k.prefix, Account: k.account}
	if err := e.CheckName(); err != nil {
		return k, fmt.Errorf("%w: %w", boltfile.ErrRecord, err)
	}
	return k, nil
}

const (
	entryVersion  = 1
	entryObserved = 1
	entryShared   = 2         // as kept.shared
	forever       = 1<<63 - 1 // an entry's end that does not come
)

// encodeEntry encodes all of an entry but its name.
func encodeEntry(e *store.Entry) []byte {
	flags, until := byte(0), int64(forever)
	if e.Observed {
		flags |= entryObserved
	}
	if !e.Until.IsZero() {
		until = e.Until.UnixMilli()
	}
	b := []byte{entryVersion, flags}
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Since.UnixMilli()))
	b = binary.LittleEndian.AppendUint64(b, uint64(until))
	b = binary.AppendUvarint(b, uint64(max(e.Times, 0)))
	for _, text := range []string{e.Reason, e.Rule, e.By} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	return b
}

func decodeEntry(key, value []byte) (*store.Entry, error) {
	k, err := decodeEntryKey(key)
	if err != nil {
		return nil, err
	}
	if len(value) < 18 || value[0] != entryVersion || value[1] > entryObserved|entryShared {
		return nil, fmt.Errorf("%w: an entry of an unknown version", boltfile.ErrRecord)
	}
	e := &store.Entry{
		Kind: k.kind, Prefix: k.prefix, Account: k.account, Observed: value[1]&entryObserved != 0,
		Since: millis(int64(binary.LittleEndian.Uint64(value[2:]))),
	}
	if until := int64(binary.LittleEndian.Uint64(value[10:])); until != forever {
		e.Until = millis(until)
	}
	times, n := binary.Uvarint(value[18:])
	if n <= 0 || times > 1<<31 {
		return nil, fmt.Errorf("%w: an entry of %d times", boltfile.ErrRecord, times)
	}
	e.Times = int(times)
	rest := value[18+n:]
	for _, text := range []*string{&e.Reason, &e.Rule, &e.By} {
		if *text, rest, err = cutText(rest); err != nil {
			return nil, err
		}
	}
	if err := e.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", boltfile.ErrRecord, err)
	}
	return e, nil
}

func cutText(b []byte) (text string, rest []byte, err error) {
	length, n := binary.Uvarint(b)
	if n <= 0 || length > uint64(len(b)-n) {
		return "", nil, fmt.Errorf("%w: a torn text", boltfile.ErrRecord)
	}
	b = b[n:]
	return string(b[:length]), b[length:], nil
}
