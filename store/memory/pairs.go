package memory

// maxNetworks is how many networks an account is familiar to at most: whoever
// owns one account and many addresses makes no others forgotten.
const maxNetworks = 64

// pairKey names a familiar pair by the hashes of its account and its network.
type pairKey struct{ account, network uint64 }

// friend is a familiar pair. The pairs of one account are a chain, which begins
// at peoplePart.first and ends with the network 0. There is no pointer in it, so
// that a collection of garbage never looks inside.
type friend struct {
	next  uint64 // the network of the account's next pair
	until uint32 // when the pair ceases to be familiar, Unix seconds
}

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
	return int64(part.pairs[key].until)
}

// befriend makes a pair familiar until a time in Unix seconds. A pair that had
// to go for it is returned: of an account that has too many its own that ends
// soonest, which may be the new one, else that of another.
func (p *people) befriend(key pairKey, until uint32) (gone pairKey, evicted bool) {
	if added, gone, evicted := p.add(key, until); !added || evicted {
		return gone, evicted
	}
	if p.pairs.Load() <= int64(p.limit) {
		return gone, false
	}
	return p.evictPair(key)
}

// add puts a pair and keeps its account within its number.
func (p *people) add(key pairKey, until uint32) (added bool, gone pairKey, evicted bool) {
	part := p.part(key.account)
	part.mu.Lock()
	defer part.mu.Unlock()
	if old, known := part.pairs[key]; known {
		old.until = max(old.until, until)
		part.pairs[key] = old
		return false, gone, false
	}
	part.pairs[key] = friend{next: part.first[key.account], until: until}
	part.first[key.account] = key.network
	p.changed(key.network, +1)
	if gone, evicted = part.surplus(key); evicted {
		p.unlink(part, gone)
	}
	return true, gone, evicted
}

// surplus is the pair that goes where the account of a new one has too many.
func (part *peoplePart) surplus(added pairKey) (gone pairKey, found bool) {
	n, soonest := 0, part.pairs[added].until
	gone = added
	for key := range part.chain(added.account) {
		// The new one is the first of the chain: of equals, an older one goes.
		if until := part.pairs[key].until; until <= soonest {
			gone, soonest = key, until
		}
		n++
	}
	return gone, n > maxNetworks
}

// chain ranges over an account's pairs. Whoever calls holds mu.
func (part *peoplePart) chain(account uint64) func(yield func(pairKey) bool) {
	return func(yield func(pairKey) bool) {
		for network := part.first[account]; network != 0; {
			key := pairKey{account, network}
			network = part.pairs[key].next
			if !yield(key) {
				return
			}
		}
	}
}

// remove drops a pair and tells whether there was one.
func (p *people) remove(key pairKey) bool {
	part := p.part(key.account)
	part.mu.Lock()
	defer part.mu.Unlock()
	_, known := part.pairs[key]
	if known {
		p.unlink(part, key)
	}
	return known
}

// unlink drops a pair that there is. Whoever calls holds the part's mu.
func (p *people) unlink(part *peoplePart, key pairKey) {
	next := part.pairs[key].next
	switch first := part.first[key.account]; {
	case first != key.network:
		for before := range part.chain(key.account) {
			if f := part.pairs[before]; f.next == key.network {
				f.next = next
				part.pairs[before] = f
				break
			}
		}
	case next == 0:
		delete(part.first, key.account)
	default:
		part.first[key.account] = next
	}
	delete(part.pairs, key)
	p.changed(key.network, -1)
}

// changed counts a pair that has come or gone, under the lock of its part: were
// it counted later, one that goes at once would be counted as gone before it
// came, and its network would have a familiar account forever.
func (p *people) changed(network uint64, by int) {
	p.pairs.Add(int64(by))
	n := &p.networks[shardOf(network)]
	n.mu.Lock()
	defer n.mu.Unlock()
	if left := int(n.accounts[network]) + by; left > 0 {
		n.accounts[network] = uint32(left)
	} else {
		delete(n.accounts, network)
	}
}

// pairsOf returns an account's pairs.
func (p *people) pairsOf(account uint64) []pairKey {
	part := p.part(account)
	part.mu.RLock()
	defer part.mu.RUnlock()
	var keys []pairKey
	for key := range part.chain(account) {
		keys = append(keys, key)
	}
	return keys
}
