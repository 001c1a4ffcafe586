package failover

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saslguard/saslguard/store"
)

// item is what the remote store has not been told of: a Record, or that
// something is to be forgotten. They share a queue, so that what was forgotten
// after an attempt is forgotten after it remotely too.
type item struct {
	forget forget
	op     store.Op // for a forget only its Client or Account
}

type forget uint8

const (
	forgetNothing forget = iota
	forgetClient
	forgetAccount
)

// journal keeps items in order, up to a number, and drops the oldest beyond it.
type journal struct {
	limit   int
	dropped prometheus.Counter

	mu    sync.Mutex
	ring  []item // the n-th item ever stands at n modulo its length
	first uint64 // number of the oldest item
	next  uint64 // number of the next item to come
	full  bool   // items are being dropped
}

const journalStart = 256

func newJournal(limit int, dropped prometheus.Counter) *journal {
	return &journal{limit: limit, dropped: dropped}
}

func (j *journal) len() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return int(j.next - j.first)
}

// records adds those of a batch that are Records, with the times at which they
// happened. It tells whether it has begun to drop items.
func (j *journal) records(ops []store.Op, standings []store.Standing) (overflow bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range ops {
		if ops[i].Verb == store.Record {
			at := j.grow(&overflow)
			at.op = ops[i]
			at.op.At = standings[i].At
		}
	}
	return overflow
}

// add adds one item.
func (j *journal) add(x item) (overflow bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	*j.grow(&overflow) = x
	return overflow
}

// grow makes room for an item. Whoever calls holds mu.
func (j *journal) grow(overflow *bool) *item {
	n := int(j.next - j.first)
	switch {
	case n == j.limit:
		j.drop(j.first + 1)
		j.dropped.Inc()
		*overflow = *overflow || !j.full
		j.full = true
	case n == len(j.ring):
		wider := make([]item, min(max(2*n, journalStart), j.limit))
		for i := j.first; i < j.next; i++ {
			wider[i%uint64(len(wider))] = j.ring[i%uint64(n)]
		}
		j.ring = wider
	}
	at := &j.ring[j.next%uint64(len(j.ring))]
	j.next++
	return at
}

// oldest copies the oldest items, as many as there are room for, and returns
// the number of the first.
func (j *journal) oldest(to []item) (n int, first uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for n < len(to) && j.first+uint64(n) < j.next {
		to[n] = j.ring[(j.first+uint64(n))%uint64(len(j.ring))]
		n++
	}
	return n, j.first
}

// done drops the items before a number: they were handed over. Some may have
// been dropped for others meanwhile.
func (j *journal) done(before uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.drop(before)
	j.full = false
	if j.first == j.next {
		j.ring = nil // as large as the longest outage made it
	}
}

func (j *journal) drop(before uint64) {
	for ; j.first < before; j.first++ {
		j.ring[j.first%uint64(len(j.ring))] = item{}
	}
}
