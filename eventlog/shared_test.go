package eventlog

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/store"
)

// others are the other hosts' log, which may be away.
type others struct {
	Shared
	mu    sync.Mutex
	away  bool
	texts [][]byte
}

func (o *others) Append(_ context.Context, texts [][]byte, _ int, _ time.Duration) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.away {
		return errors.New("away")
	}
	o.texts = append(o.texts, texts...)
	return nil
}

// What happens is shared once and in order, also what happened while that was not
// possible, as far as there is room, and what is left when the host stops.
func TestSharing(t *testing.T) {
	const beyond = 100
	o := &others{away: true}
	l, err := New(Config{Keep: time.Hour, Max: 1000}, Options{Shared: o, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	add := func(from, n int) {
		for i := from; i < from+n; i++ {
			l.Add(attempt(time.Now(), "192.0.2.1", fmt.Sprint(i), "failure"))
		}
	}
	add(0, 1000+beyond)
	o.away = false
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.Run(ctx) }()
	for o.told() < 1000 { // a batch that is only under way would need room once more
		time.Sleep(time.Millisecond)
	}
	add(1000+beyond, 700)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(o.texts) != 1700 {
		t.Fatalf("%d events are shared", len(o.texts))
	}
	for i, text := range o.texts {
		if e, ok := decode(&store.Line{Text: text}); !ok || e.Account != fmt.Sprint(beyond+i) {
			t.Fatalf("%d is %s", i, text)
		}
	}
}

func (o *others) told() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.texts)
}

// Sums are right also where what they repeat has left the log.
func TestSumsOfWhatHasLeft(t *testing.T) {
	const clients = 1500
	l, c := newLog(t, Config{Keep: time.Hour, Max: 1000})
	ask := func(i int, account string) {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		e := guard.Event{Kind: guard.Asked, At: c.Now(), Addr: a, Client: netip.PrefixFrom(a, 32), Account: account, Count: 1}
		e.Verdict = guard.Verdict{Action: guard.Refuse, Would: guard.Refuse, Rule: guard.RuleBan, Entry: &store.Entry{By: "mx1"}}
		l.Observe(e)
	}
	for range 3 {
		for i := range clients {
			ask(i, "bob")
		}
	}
	ask(clients-1, "eve")
	for _, one := range l.repeats.now {
		e := one.rest()
		last := e.Client == fmt.Sprintf("10.0.%d.%d/32", (clients-1)>>8, (clients-1)&255)
		if want := 2; e.Address+"/32" != e.Client || !last && (e.Count != want || e.Account != "bob") || last && (e.Count != want+1 || e.Account != "") {
			t.Fatalf("%+v", e)
		}
	}
	if len(l.repeats.now) != clients {
		t.Errorf("%d clients", len(l.repeats.now))
	}
}
