package memory

// evictPair drops the pair that ends soonest among a few, but not the given one.
// The parts take turns.
func (p *people) evictPair(except pairKey) (gone pairKey, evicted bool) {
	for range shards {
		part := &p.parts[p.next.Add(1)%shards]
		seen, soonest := 0, ^uint32(0)
		part.mu.RLock()
		// Iteration begins anywhere, so the first few are a sample.
		for key, f := range part.pairs {
			if key != except && f.until < soonest {
				gone, soonest, evicted = key, f.until, true
			}
			if seen++; seen == evictSamples {
				break
			}
		}
		part.mu.RUnlock()
		if evicted && p.remove(gone) {
			return gone, true
		}
	}
	return gone, false
}

// evictRights drops the right passwords that were right longest ago among a few
// accounts, but not the given one's.
func (p *people) evictRights(except uint64) (gone uint64, evicted bool) {
	for range shards {
		part := &p.parts[p.next.Add(1)%shards]
		seen, oldest := 0, ^uint32(0)
		part.mu.RLock()
		for account, r := range part.rights {
			if account != except && r.at[0] < oldest {
				gone, oldest, evicted = account, r.at[0], true
			}
			if seen++; seen == evictSamples {
				break
			}
		}
		part.mu.RUnlock()
		if evicted {
			p.unlearn(gone)
			return gone, true
		}
	}
	return 0, false
}

// sweep drops the pairs of one part that have ceased to be familiar and the
// passwords that were last right before a time, both in Unix seconds, and
// returns their names.
func (p *people) sweep(i int, now, rightSince int64) (pairs []pairKey, accounts []uint64) {
	part := &p.parts[i]
	part.mu.RLock()
	for key, f := range part.pairs {
		if int64(f.until) <= now {
			pairs = append(pairs, key)
		}
	}
	for account, r := range part.rights {
		if int64(r.at[0]) < rightSince {
			accounts = append(accounts, account)
		}
	}
	part.mu.RUnlock()
	for _, key := range pairs {
		p.remove(key)
	}
	for _, account := range accounts {
		p.unlearn(account)
	}
	return pairs, accounts
}
