package redis

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"sync/atomic"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// verb is what a script is asked to do. The first three are store's.
type verb uint8

const (
	look verb = iota
	reserve
	record
	giveBack

	forgetClient   verb = 5 // in a network's slot
	unfriend       verb = 6
	befriend       verb = 5 // in an account's slot
	forgetAccount  verb = 6
	unfriendAlways verb = 7
)

// What stands for the rank of a secret that its network's slot cannot know, or
// learns from the account's slot, which the same script asks just before.
const unknownYet, asked = 255, 254

// accountSlot is added to the verb of what is for an account's slot.
const accountSlot = 128

// Flags of an operation for network.lua and for account.lua.
const (
	networkNamed, accountNamed, networkLapseCounts, networkCreate         = 1, 2, 4, 8
	pairNamed, accountExempt, accountLapseCounts, accountCreate, stranger = 1, 2, 4, 8, 16
)

// Flags of an answer.
const (
	familiarFlag, fitsFlag, fullFlag, takenFlag, untrackedFlag = 1, 2, 4, 8, 16
)

var errAnswer = errors.New("a script's answer is not of its length")

// packedRules are rules as subject.lua unpacks them. They are immutable, and so
// packed once.
type packedRules struct {
	rules *score.Rules
	text  string
}

// pack returns the packed rules.
func (s *Store) pack(r *score.Rules) string {
	if p := s.rules.Load(); p != nil && p.rules == r {
		return p.text
	}
	p := &packedRules{r, packRules(r)}
	s.rules.Store(p)
	return p.text
}

func packRules(r *score.Rules) string {
	b := appendSix(nil, max(r.HalfLife, 1))
	for _, v := range []score.Milli{r.Failure, r.UnknownAccount, r.FurtherAccount, score.Milli(r.FreeRepeats)} {
		b = appendFour(b, v)
	}
	for _, t := range []score.Tiers{r.Client, r.Network, r.Account, r.Pair} {
		b = appendFour(appendFour(appendFour(b, t.Tarpit), t.Refuse), t.Ban)
	}
	b = appendSix(appendSix(b, r.PlaceLife), r.FamiliarFor)
	b = append(b, byte(min(max(r.Remember, 0), 3)))
	return string(appendSix(b, r.RememberFor))
}

func appendFour(b []byte, v score.Milli) []byte {
	return binary.LittleEndian.AppendUint32(b, uint32(min(max(v, 0), 1<<32-1)))
}

// appendSix appends a span or a time in milliseconds.
func appendSix(b []byte, v int64) []byte {
	v = min(max(v, 0), 1<<47)
	b = binary.LittleEndian.AppendUint32(b, uint32(v))
	return binary.LittleEndian.AppendUint16(b, uint16(v>>32))
}

// appendHead appends what both slots are told first: what to do and when. A
// time of zero is the present, so an operation is never older than 1 ms.
func (a *attempt) appendHead(b []byte, v, flags byte) []byte {
	at := int64(0)
	if !a.op.At.IsZero() {
		at = max(a.op.At.UnixMilli(), 1)
	}
	b = appendSix(appendSix(append(b, v), a.now), at)
	count := min(max(a.op.Count, 1), score.RingSize)
	return append(b, flags, byte(a.op.Outcome), byte(a.op.Secret), byte(count))
}

// networkCall is an operation of network.lua. known is the rank of the secret.
func (a *attempt) networkCall(v verb, known byte) call {
	b := make([]byte, 0, 64)
	b = append(a.appendHead(b, byte(v), a.networkFlags()), known)
	b = binary.LittleEndian.AppendUint64(b, a.op.Guess)
	b = binary.BigEndian.AppendUint64(b, a.marks.Account)
	for _, n := range []uint32{
		uint32(a.marks.Client), uint32(a.marks.OnClient), uint32(a.marks.OnNetwork), uint32(a.marks.OnPair),
	} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return call{attempt: a, side: onNetwork, verb: v, keys: a.networkKeys(), operation: string(b)}
}

func (a *attempt) networkFlags() (f byte) {
	if a.network {
		f |= networkNamed
	}
	if a.account {
		f |= accountNamed
	}
	if a.op.LapseCounts {
		f |= networkLapseCounts
	}
	if a.create {
		f |= networkCreate
	}
	return f
}

// accountCall is an operation of account.lua. until is when the pair ceases to be
// familiar, for befriend.
func (a *attempt) accountCall(v verb, flags byte, until int64) call {
	if a.network {
		flags |= pairNamed
	}
	if a.op.AccountExempt {
		flags |= accountExempt
	}
	if a.op.LapseCounts {
		flags |= accountLapseCounts
	}
	if a.create {
		flags |= accountCreate
	}
	b := a.appendHead(make([]byte, 0, 64), accountSlot+byte(v), flags)
	b = binary.LittleEndian.AppendUint64(b, a.op.Guess)
	b = binary.BigEndian.AppendUint64(b, a.marks.Network)
	b = binary.LittleEndian.AppendUint32(b, uint32(a.marks.OnAccount))
	b = binary.LittleEndian.AppendUint32(b, a.op.Token)
	b = appendSix(b, until)
	return call{attempt: a, side: onAccount, verb: v, keys: a.accountKeys(), operation: string(b)}
}

// networkKeys are the keys that network.lua is given: the page, the client, the pair
// and the friends. The name in braces decides the slot.
func (a *attempt) networkKeys() [4]string {
	b := a.appendSlot(make([]byte, 0, 128), 'n', a.slot)
	slot := len(b)
	b = binary.BigEndian.AppendUint64(append(append(b, b[:slot]...), 'c'), a.marks.Client)
	client := len(b)
	b = binary.BigEndian.AppendUint64(append(append(b, b[:slot]...), 'p'), a.marks.Pair)
	pair := len(b)
	all := string(append(append(b, b[:slot]...), 'f'))
	return [4]string{all[:slot], all[slot:client], all[client:pair], all[pair:]}
}

// accountKeys are the keys that account.lua is given: the account, its right passwords
// and its friends.
func (a *attempt) accountKeys() [4]string {
	b := a.appendSlot(make([]byte, 0, 128), 'a', a.marks.Account)
	slot := len(b)
	b = append(append(b, b[:slot]...), 'r')
	rights := len(b)
	all := string(append(append(b, b[:slot]...), 'f'))
	return [4]string{all[:slot], all[slot:rights], all[rights:]}
}

// appendSlot appends a key's part in braces. A hash goes into it as it is, in eight
// octets: with a prefix of two letters a key then fits what Redis allocates for the
// smallest ones; written in letters, a client took 32 octets more. A brace among them
// ends the slot's name early, for all keys of that slot alike.
func (a *attempt) appendSlot(b []byte, kind byte, hash uint64) []byte {
	b = append(append(append(b, '{'), a.prefix...), ':', kind)
	return append(binary.BigEndian.AppendUint64(b, hash), '}')
}

// answer is what a script said of an operation.
type answer struct {
	at       int64
	flags    byte
	known    int
	until    int64 // until when the pair is familiar; 0: it is not
	accounts int   // familiar to the network
	points   score.Milli
	readings [3]score.Reading // client, network and pair; or account
}

func (a *answer) has(flag byte) bool { return a.flags&flag != 0 }

const answerHead, readingSize = 22, 18

func decodeAnswer(text string, readings int) (answer, error) {
	if len(text) != answerHead+readings*readingSize {
		return answer{}, errAnswer
	}
	a := answer{
		at: int64(little(text[:6])), flags: text[6], known: int(text[7]), until: int64(little(text[8:14])),
		accounts: int(little(text[14:18])), points: score.Milli(little(text[18:22])),
	}
	for i := range readings {
		r := text[answerHead+i*readingSize:]
		a.readings[i] = score.Reading{
			Score: score.Milli(little(r[:4])), InFlight: score.Milli(little(r[4:9])), Added: score.Milli(little(r[9:13])),
			Distinct: int(r[13]), Repeats: int(little(r[14:18])),
		}
	}
	return a, nil
}

// little is a little-endian number of up to eight octets.
func little(text string) (n uint64) {
	for i := range len(text) {
		n |= uint64(text[i]) << (8 * i)
	}
	return n
}

// lengths remembers how long the networks' prefixes are, so that the slot of a
// client can be told from the client alone.
type lengths struct{ v4, v6 atomic.Int32 }

// usual is how long a network's prefix is unless told otherwise.
func usual(a netip.Addr) int {
	if a.Is4() {
		return 24
	}
	return 48
}

func (l *lengths) of(a netip.Addr) *atomic.Int32 {
	if a.Is4() {
		return &l.v4
	}
	return &l.v6
}

func (l *lengths) learn(network netip.Prefix) {
	if n := l.of(network.Addr()); n.Load() != int32(network.Bits()) {
		n.Store(int32(network.Bits()))
	}
}

// networks are those in whose slots a client may be kept.
func (l *lengths) networks(client netip.Prefix) []netip.Prefix {
	a := client.Addr()
	all := []netip.Prefix{around(client, usual(a))}
	if bits := int(l.of(a).Load()); bits != 0 && bits != usual(a) {
		all = append(all, around(client, bits))
	}
	return all
}

// around is the network of some length in which a client lies.
func around(client netip.Prefix, bits int) netip.Prefix {
	return netip.PrefixFrom(client.Addr(), min(bits, client.Addr().BitLen())).Masked()
}

// slotOf is the hash of the network in whose slot the operation's client is.
func (s *Store) slotOf(op *store.Op, m *store.Marks) uint64 {
	if !op.Network.IsValid() {
		return s.hash.Prefix('n', around(op.Client, usual(op.Client.Addr())))
	}
	s.lengths.learn(op.Network)
	return m.Network
}
