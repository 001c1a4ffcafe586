package memory

import (
	"sync"
	"sync/atomic"

	"github.com/saslguard/saslguard/score"
)

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
	pairs  map[pairKey]friend
	first  map[uint64]uint64 // by account, the network of the first of its pairs
	rights map[uint64]rights // by account
}

type networkPart struct {
	mu       sync.RWMutex
	accounts map[uint64]uint32 // how many are familiar, by network
}

func newPeople(limit int) *people {
	p := &people{limit: limit}
	for i := range shards {
		p.parts[i].pairs = make(map[pairKey]friend)
		p.parts[i].first = make(map[uint64]uint64)
		p.parts[i].rights = make(map[uint64]rights)
		p.networks[i].accounts = make(map[uint64]uint32)
	}
	return p
}

func (p *people) part(account uint64) *peoplePart { return &p.parts[shardOf(account)] }

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
