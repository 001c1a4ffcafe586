package memory

import (
	"container/heap"
	"time"
)

const (
	expireEvery = 200 * time.Millisecond
	expireBatch = 1000 // endings that share a transaction

	spareEndings = 1024 // that a small ledger may leave behind
)

// ending is when an entry is over, its history, or the memory of its removal.
type ending struct {
	at   int64 // Unix milliseconds
	what endOf
	key  entryKey
}

type endOf uint8

const (
	endOfEntry endOf = iota
	endOfHistory
	endOfLift
)

// endings are ordered by time. What has changed meanwhile is found out when its
// time comes.
type endings struct{ list endingList }

func (e *endings) add(x ending) { heap.Push(&e.list, x) }

// next takes the first that is over at a time.
func (e *endings) next(now int64) (ending, bool) {
	if len(e.list) == 0 || e.list[0].at > now {
		return ending{}, false
	}
	return heap.Pop(&e.list).(ending), true
}

// endingList implements heap.Interface.
type endingList []ending

func (l endingList) Len() int           { return len(l) }
func (l endingList) Less(i, j int) bool { return l[i].at < l[j].at }
func (l endingList) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *endingList) Push(x any)        { *l = append(*l, x.(ending)) }
func (l *endingList) Pop() any {
	last := len(*l) - 1
	x := (*l)[last]
	*l = (*l)[:last]
	return x
}

// expire removes the entries whose time is over and announces that. If they
// cannot be removed from the file they are over nevertheless: a restart looks
// at the time as well.
func (l *ledger) expire() {
	for more := true; more; {
		d := l.newDraft()
		more = d.expire()
		if !d.empty() {
			_ = d.save()
			d.apply()
		}
	}
}

// expire adds what is over to the draft and tells whether more may be.
func (d *draft) expire() bool {
	now := d.now.UnixMilli()
	for range expireBatch {
		x, ok := d.l.ends.next(now)
		if !ok {
			return false
		}
		switch x.what {
		case endOfHistory:
			if d.past(x.key) == (history{}) {
				d.forget(x.key)
			}
		case endOfLift:
			d.forgetLift(x.key)
		default:
			if e := d.entry(x.key); e != nil && !e.over && !e.Live(d.now) && !d.keepOver(x.key, e) {
				d.drop(x.key)
			}
		}
	}
	return true
}

// trimEndings drops the endings that mean nothing any more once they are the
// most: entries that were replaced or removed and histories that were evicted
// leave theirs behind.
func (l *ledger) trimEndings() {
	if len(l.ends.list) <= 2*l.lasting()+spareEndings {
		return
	}
	list := make(endingList, 0, l.lasting())
	for k, e := range l.entries {
		if !e.over && !e.Until.IsZero() {
			list = append(list, ending{at: e.Until.UnixMilli(), key: k})
		}
	}
	for k, h := range l.history {
		list = append(list, ending{at: h.forgotten(), what: endOfHistory, key: k})
	}
	for k, at := range l.lifted {
		list = append(list, ending{at: at + liftedFor.Milliseconds(), what: endOfLift, key: k})
	}
	heap.Init(&list)
	l.ends.list = list
}

// lasting is of how many things the end may be looked at.
func (l *ledger) lasting() int { return len(l.entries) + len(l.history) + len(l.lifted) }
