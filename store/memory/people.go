package memory

import (
	"sync"
	"sync/atomic"

	"github.com/saslguard/saslguard/score"
)

// pairKey names a familiar pair by the hashes of its account and its network.
type pairKey struct{ account, network uint64 }

// people are the familiar pairs and the right passwords, divided by account, so
// that all of an account's pairs lie in one part.
type people struct {
	limit    int // of pairs, and of accounts with right passwords
	parts    [shards]peoplePart
	networks [shards]networkPart
	pairs    atomic.Int64
	knowing  atomic.Int64  // accounts with right passwords
	next     atomic.Uint32 // the part in which room is made next
}

type peoplePart struct {
	mu     sync.RWMutex
	pairs  map[pairKey]uint32 // when they cease to be familiar, Unix seconds
	rights map[uint64]rights  // by account
}

type networkPart struct {
	mu       sync.RWMutex
	accounts map[uint64]uint32 // how many are familiar, by network
}

func newPeople(limit int) *people {
	p := &people{limit: limit}
	for i := range shards {
		p.parts[i].pairs = make(map[pairKey]uint32)
		p.parts[i].rights = make(map[uint64]rights)
		p.networks[i].accounts = make(map[uint64]uint32)
	}
	return p
}

func (p *people) part(account uint64) *peoplePart { return &p.parts[shardOf(account)] }

// accounts is how many accounts are familiar to a network. Pairs that ceased to
// be familiar count until they are swept.
func (p *people) accounts(network uint64) int {
	n := &p.networks[shardOf(network)]
	n.mu.RLock()
	defer n.mu.RUnlock()
	return int(n.accounts[network])
}

// familiar is when a pair ceases to be familiar, in Unix seconds; 0: it is not.
func (p *people) familiar(key pairKey) int64 {
	part := p.part(key.account)
	part.mu.RLock()
	defer part.mu.RUnlock()
	return int64(part.pairs[key])
}

// rank is how recently a token was an account's right one: 1 is the latest, 0
// not at all; and when that was, in Unix seconds.
func (p *people) rank(account uint64, token uint32, now int64, r *score.Rules) (int, int64) {
	if r.Remember <= 0 || r.RememberFor <= 0 {
		return 0, 0
	}
	known := p.rightsOf(account)
	for i := range min(r.Remember, maxRights) {
		at := int64(known.at[i])
		if at != 0 && known.token[i] == token && at+r.RememberFor/1000 > now {
			return i + 1, at
		}
	}
	return 0, 0
}

func (p *people) rightsOf(account uint64) rights {
	part := p.part(account)
	part.mu.RLock()
	defer part.mu.RUnlock()
	return part.rights[account]
}

// befriend makes a pair familiar until a time in Unix seconds. A pair that had
// to go for it is returned.
func (p *people) befriend(key pairKey, until uint32) (gone pairKey, evicted bool) {
	part := p.part(key.account)
	part.mu.Lock()
	old, known := part.pairs[key]
	part.pairs[key] = max(old, until)
	part.mu.Unlock()
	if known {
		return gone, false
	}
	p.count(key.network, +1)
	if p.pairs.Add(1) <= int64(p.limit) {
		return gone, false
	}
	return p.evictPair(key)
}

// learn notes that a token was right.
func (p *people) learn(account uint64, token, at uint32, keep int) (gone uint64, evicted bool) {
	part := p.part(account)
	part.mu.Lock()
	old, known := part.rights[account]
	part.rights[account] = old.with(token, at, keep)
	part.mu.Unlock()
	if known || p.knowing.Add(1) <= int64(p.limit) {
		return 0, false
	}
	return p.evictRights(account)
}

// restore takes in an account's right passwords from the file, the oldest
// first: of two that were right in the same second the later one is newer.
func (p *people) restore(account uint64, r rights) {
	for i := maxRights - 1; i >= 0; i-- {
		if r.at[i] != 0 {
			p.learn(account, r.token[i], r.at[i], maxRights)
		}
	}
}

// count changes the number of accounts that are familiar to a network.
func (p *people) count(network uint64, by int) {
	n := &p.networks[shardOf(network)]
	n.mu.Lock()
	defer n.mu.Unlock()
	if left := int(n.accounts[network]) + by; left > 0 {
		n.accounts[network] = uint32(left)
	} else {
		delete(n.accounts, network)
	}
}

// remove drops a pair and tells whether there was one.
func (p *people) remove(key pairKey) bool {
	part := p.part(key.account)
	part.mu.Lock()
	_, known := part.pairs[key]
	delete(part.pairs, key)
	part.mu.Unlock()
	if known {
		p.pairs.Add(-1)
		p.count(key.network, -1)
	}
	return known
}

// unlearn drops an account's right passwords.
func (p *people) unlearn(account uint64) {
	part := p.part(account)
	part.mu.Lock()
	_, known := part.rights[account]
	delete(part.rights, account)
	part.mu.Unlock()
	if known {
		p.knowing.Add(-1)
	}
}

// pairsOf returns an account's pairs. It reads one part, not all pairs.
func (p *people) pairsOf(account uint64) []pairKey {
	part := p.part(account)
	part.mu.RLock()
	defer part.mu.RUnlock()
	var keys []pairKey
	for key := range part.pairs {
		if key.account == account {
			keys = append(keys, key)
		}
	}
	return keys
}
