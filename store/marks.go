package store

import (
	"encoding/binary"
	"net/netip"

	"github.com/dchest/siphash"

	"github.com/saslguard/saslguard/score"
)

// Marks are an operation's subjects and guesses as short hashes: what a store
// looks up, and what it writes into rings. They depend on the store's key, so
// that nobody outside can look for addresses or logins that collide.
type Marks struct {
	Names
	OnClient, OnNetwork, OnAccount, OnPair score.Entry
}

// Names are the subjects of an operation as short hashes.
type Names struct{ Client, Network, Account, Pair uint64 }

// Hasher makes Marks under a key.
type Hasher struct{ k0, k1 uint64 }

// NewHasher returns the hasher of a key.
func NewHasher(key [16]byte) Hasher {
	return Hasher{binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:])}
}

// Names returns the names of an operation's subjects.
func (h Hasher) Names(client, network netip.Prefix, account string) Names {
	n := Names{Client: h.Prefix('c', client), Network: h.Prefix('n', network), Account: h.Account(account)}
	n.Pair = h.pair(n.Network, n.Account)
	return n
}

// Named returns the names of those subjects that an operation names, which is all that
// who only looks needs.
func (h Hasher) Named(op *Op) (n Names) {
	if op.Client.IsValid() {
		n.Client = h.Prefix('c', op.Client)
	}
	if op.Network.IsValid() {
		n.Network = h.Prefix('n', op.Network)
	}
	if op.Account == "" {
		return n
	}
	n.Account = h.Account(op.Account)
	if op.Network.IsValid() {
		n.Pair = h.pair(n.Network, n.Account)
	}
	return n
}

// Marks returns the marks of an operation.
func (h Hasher) Marks(op *Op) (m Marks) {
	if op.Names != nil {
		m.Names = *op.Names
	} else {
		m.Names = h.Names(op.Client, op.Network, op.Account)
	}
	token := op.Token
	if op.Secret == score.None {
		// Without a secret every attempt is a new guess, but the same attempt
		// sent twice is one.
		token = uint32(h.Number('t', op.ID))
	}
	client, account := uint32(m.Client), uint32(m.Account)
	m.OnClient = score.MakeEntry(account, token)
	m.OnNetwork = score.MakeEntry(client, uint32(h.Number('g', uint64(account)<<32|uint64(token))))
	m.OnAccount = score.MakeEntry(client, token)
	m.OnPair = m.OnAccount
	return m
}

// Prefix hashes a prefix, kept apart from others by a tag.
func (h Hasher) Prefix(tag byte, p netip.Prefix) uint64 {
	var b [18]byte
	a := p.Addr().As16()
	copy(b[:], a[:])
	b[16], b[17] = byte(p.Bits()), tag
	return siphash.Hash(h.k0, h.k1, b[:])
}

// Account hashes an account's name.
func (h Hasher) Account(account string) uint64 {
	var b [MaxAccount + 1]byte
	n := copy(b[:MaxAccount], account)
	b[n] = 'a'
	return siphash.Hash(h.k0, h.k1, b[:n+1])
}

// Pair hashes a network and an account.
func (h Hasher) Pair(network netip.Prefix, account string) uint64 {
	return h.pair(h.Prefix('n', network), h.Account(account))
}

func (h Hasher) pair(network, account uint64) uint64 { return h.Number('p', network^account<<1) }

// Number hashes a number, kept apart from others by a tag.
func (h Hasher) Number(tag byte, n uint64) uint64 {
	var b [9]byte
	binary.LittleEndian.PutUint64(b[:], n)
	b[8] = tag
	return siphash.Hash(h.k0, h.k1, b[:])
}
