package failover_test

import (
	"context"
	"testing"
	"time"

	"github.com/saslguard/saslguard/store"
)

func (h *host) remove(e store.Entry) bool {
	h.w.Helper()
	found, err := h.Remove(context.Background(), e)
	if err != nil {
		h.w.Errorf("Remove: %v", err)
	}
	return found
}

func TestBansReachTheOtherHost(t *testing.T) {
	w := newWorld(t)
	a, b := w.host("a.db", well), w.host("b.db", well)
	got := a.put(ban(client(1)))
	if _, here := entriesOf(a.local)[name(&got)]; !here {
		t.Error("the ban is not in force at once where it was made")
	}
	b.has(client(1), true)
	if e := entriesOf(b.local)[name(&got)]; e != got {
		t.Errorf("%+v became %+v", got, e)
	}
	if !b.remove(got) {
		t.Error("not found")
	}
	a.has(client(1), false)
	if len(a.local.Pending(9))+len(b.local.Pending(9)) != 0 {
		t.Error("something is pending")
	}
}

func TestBansMadeMeanwhileAreMerged(t *testing.T) {
	for name, m := range map[string]mood{"failing": failing, "hanging": hanging, "losing": losing} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a, b := w.host("a.db", well), w.host("b.db", well)
			a.remote.be(m)
			for n := range 5 {
				a.put(ban(client(n)))
			}
			w.clock.advance(10 * time.Minute)
			b.put(ban(client(0))) // ends later, unless the lost answer has carried it there
			b.put(ban(client(9)))
			a.has(client(4), true)
			a.remote.be(well)
			a.joined(true)
			for n := range 5 {
				b.has(client(n), true)
			}
			a.has(client(9), true)
			w.eventually("all agree", func() bool {
				x, y, z := entriesOf(a.local), entriesOf(b.local), entriesOf(w.shared)
				for k, e := range z {
					if x[k] != e || y[k] != e {
						return false
					}
				}
				return len(x) == 6 && len(y) == 6 && len(z) == 6
			})
			if len(a.local.Pending(9)) != 0 {
				t.Error("still pending")
			}
		})
	}
}

func TestUnbanWhileAway(t *testing.T) {
	w := newWorld(t)
	a, b := w.host("a.db", well), w.host("b.db", well)
	a.put(ban(client(1)))
	a.put(ban(client(2)))
	b.has(client(2), true)
	a.remote.be(failing)
	if !a.remove(ban(client(1))) {
		t.Error("not found")
	}
	a.has(client(1), false)
	b.remove(ban(client(2))) // by another host
	a.remote.be(well)
	a.joined(true)
	b.has(client(1), false)
	a.has(client(2), false)
	time.Sleep(50 * time.Millisecond)
	a.has(client(1), false)
}

// What waits to be handed over survives a restart of the process.
func TestPendingSurvivesARestart(t *testing.T) {
	w := newWorld(t)
	a, b := w.host("a.db", well), w.host("b.db", well)
	a.put(ban(client(1)))
	b.has(client(1), true)
	a.remote.be(hanging)
	a.put(ban(client(2)))
	a.remove(ban(client(1)))
	w.closed(a)
	b.put(ban(client(3)))

	a = w.host("a.db", failing)
	a.has(client(2), true)
	a.has(client(1), false)
	a.remote.be(well)
	a.joined(true)
	b.has(client(2), true)
	b.has(client(1), false)
	a.has(client(3), true)
	a.has(client(1), false)
}

// A host whose Redis is away when it starts has all bans that it knew.
func TestBansAreKnownWithoutRemote(t *testing.T) {
	w := newWorld(t)
	a, b := w.host("a.db", well), w.host("b.db", well)
	b.put(ban(client(1)))
	a.has(client(1), true)
	w.closed(a)
	a = w.host("a.db", failing)
	a.has(client(1), true)
	if got := a.put(ban(client(1))); got.Times != 1 || got.By != "mx1" {
		t.Errorf("banned again: %+v", got)
	}
}

// A host that kept its bans alone brings them along when it joins.
func TestJoiningBringsItsBans(t *testing.T) {
	w := newWorld(t)
	alone := w.memory("a.db", true)
	if _, err := alone.Put(context.Background(), ban(client(1))); err != nil {
		t.Fatal(err)
	}
	w.closed(alone)
	b := w.host("b.db", well)
	a := w.host("a.db", well)
	b.has(client(1), true)
	a.has(client(1), true)
}

// A ban lasts the longer the more often it was made, also where another host
// made it and Redis is away.
func TestLadderGoesOnAlone(t *testing.T) {
	w := newWorld(t)
	a, b := w.host("a.db", well), w.host("b.db", well)
	b.put(ban(client(1)))
	a.has(client(1), true)
	w.clock.advance(2 * time.Hour)
	a.has(client(1), false)
	a.remote.be(failing)
	if got := a.put(ban(client(1))); got.Times != 2 {
		t.Errorf("banned for the %d. time", got.Times)
	}
}

func TestWatchThatFailsIsBegunAnew(t *testing.T) {
	w := newWorld(t)
	a, b := w.host("a.db", well), w.host("b.db", well)
	for n := range 5 {
		a.remote.mu.Lock()
		a.remote.leaving()
		a.remote.mu.Unlock()
		b.put(ban(client(n)))
		a.has(client(n), true)
	}
	if a.logs.FilterLevelExact(1).Len()+a.logs.FilterLevelExact(2).Len() > 2 {
		t.Errorf("logged %v", a.logs.All())
	}
}

// A Redis that nobody asks is found to be away by the watch.
func TestSilentOutageIsNoticed(t *testing.T) {
	w := newWorld(t)
	h := w.host("", well)
	h.remote.be(failing)
	h.joined(false)
	h.remote.be(well)
	h.joined(true)
}
