package redis

import (
	"context"
	_ "embed"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/saslguard/saslguard/score"
)

//go:embed testdata/drive.lua
var driveSource string

// The deeds of value.lua, and forgetting.
const (
	deedLook = iota
	deedReserve
	deedRecord
	deedGiveBack
	deedSettle
	deedForget
)

// step is one deed to the subject.
type step struct {
	deed   int
	event  score.Event
	counts bool
	now    int64
	rules  *score.Rules
}

// driver does the same to a subject in Go and to one in Redis.
type driver struct {
	t      testing.TB
	client goredis.UniversalClient
	script *goredis.Script
	key    string
	kind   score.Kind
	model  score.Subject
	seen   map[string]int // how often what is worth testing came about
}

// TestScriptsAgreeWithScore holds the scripts' arithmetic to package score's, to
// the unit, after each of many random steps.
func TestScriptsAgreeWithScore(t *testing.T) {
	const seeds, steps = 8, 640 // of each of four kinds, 20,480 in all
	t.Run("standalone", func(t *testing.T) {
		driveAll(t, testConfig(startServer(t, "--appendonly", "no").addr), 0, seeds, steps)
	})
	t.Run("cluster", func(t *testing.T) {
		driveAll(t, clusterConfig(startCluster(t, 3)), 1000, seeds, steps)
	})
}

func driveAll(t *testing.T, cfg Config, seed uint64, seeds, steps int) {
	client, err := Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	seen := map[string]int{}
	script := goredis.NewScript(subjectSource + valueSource + driveSource)
	for i := range seeds {
		for kind := score.Client; kind <= score.Pair; kind++ {
			d := &driver{
				t: t, client: client, script: script, kind: kind, seen: seen,
				key: fmt.Sprintf("{drive:%d:%d:%d}", seed, i, kind),
			}
			d.drive(rand.New(rand.NewPCG(seed+uint64(i), uint64(kind))), steps)
		}
	}
	for _, what := range []string{
		"a full ring", "all places taken", "full", "refused", "taken", "given back", "repeats", "capped", "lapsed",
		"late", "set back", "dropped", "forgiven", "long head", "short head",
	} {
		if seen[what] == 0 {
			t.Errorf("the steps never came to: %s", what)
		}
	}
	t.Log(seeds*4*steps, "steps:", seen)
}

// rulesets are cheap and dear, fast and slow, with tiers and without.
func rulesets() []*score.Rules {
	p := score.Point
	all := score.Tiers{Tarpit: 3 * p, Refuse: 10 * p, Ban: 20 * p}
	wide := score.Tiers{Refuse: 900 * p, Ban: 2000 * p}
	huge := score.Tiers{Tarpit: score.MaxScore, Refuse: score.MaxScore, Ban: score.MaxScore}
	return []*score.Rules{
		{HalfLife: 3_600_000, Failure: p, UnknownAccount: p, FurtherAccount: p, FreeRepeats: 20,
			Client: all, Network: all, Account: all, Pair: all, PlaceLife: 10_000},
		{HalfLife: 3_600_000, Failure: p, FreeRepeats: 3,
			Client: wide, Network: wide, Account: wide, Pair: wide, PlaceLife: 40_000},
		{HalfLife: 1024, Failure: 1, UnknownAccount: 2, FurtherAccount: 3,
			Client: all, Network: score.Tiers{}, Account: all, Pair: score.Tiers{Tarpit: 5}, PlaceLife: 500},
		{HalfLife: 90 * 86_400_000, Failure: 700_000_000, UnknownAccount: 700_000_000, FurtherAccount: 700_000_000,
			FreeRepeats: 2_000_000, Client: huge, Network: huge, Account: huge, Pair: huge, PlaceLife: 10_000},
		{HalfLife: 777_777, Failure: 1234, UnknownAccount: 567, FurtherAccount: 89, FreeRepeats: 1,
			Client: all, Network: all, Account: all, Pair: all, PlaceLife: 10_000},
	}
}

// drive takes random steps in time and in deeds. Every while the mood changes:
// the rules, and whether guesses repeat or are new and places pile up.
func (d *driver) drive(r *rand.Rand, steps int) {
	rules := rulesets()
	ruleset, spread, asking := 0, 8, 3
	now := int64(1_770_000_000_000)
	for range steps {
		if r.IntN(60) == 0 {
			ruleset, spread, asking = r.IntN(len(rules)), []int{3, 8, 4096}[r.IntN(3)], []int{1, 3, 30}[r.IntN(3)]
			if asking == 30 {
				ruleset, spread = 1, 4096
			}
		}
		half, odds := rules[ruleset].HalfLife, 20
		if asking == 30 {
			odds = 500 // a rush: nothing lapses
		}
		switch r.IntN(odds) {
		case 0:
			now += r.Int64N(half * 40)
		case 1, 2, 3:
			now += r.Int64N(half / 4)
		case 4, 5, 6, 7, 8:
			now += r.Int64N(2000)
		}
		if now = min(now, 1<<45); r.IntN(odds) == 0 {
			now -= r.Int64N(half) // a failover to a server whose clock is behind
		}
		s := step{deed: d.pick(r, asking), counts: r.IntN(2) == 0, now: now, rules: rules[ruleset]}
		s.event = randomEvent(r, now, spread, s.rules)
		if n := len(d.model.Places); n > 0 && s.deed != deedReserve && r.IntN(2) == 0 {
			p := &d.model.Places[r.IntN(n)]
			s.event.Guess, s.event.Entry = p.Guess, p.Entry
		}
		if s.event.At < now {
			d.seen["late"]++
		}
		d.step(&s)
	}
}

func (d *driver) pick(r *rand.Rand, asking int) int {
	n := r.IntN(10 + asking)
	switch {
	case n >= 10:
		return deedReserve
	case n >= 4:
		return deedRecord
	case n == 3:
		return deedGiveBack
	case n == 2:
		return deedSettle
	case n == 1 && r.IntN(20) == 0:
		return deedForget
	default:
		return deedLook
	}
}

func randomEvent(r *rand.Rand, now int64, spread int, rules *score.Rules) score.Event {
	member, token := uint32(r.IntN(spread)), uint32(r.IntN(spread))
	e := score.Event{
		At: now, Entry: score.MakeEntry(member, token), Outcome: score.Failure,
		Secret: score.Secret(r.IntN(4)), Known: r.IntN(12) == 0, Familiar: r.IntN(2) == 0, Count: 1,
	}
	if r.IntN(4) > 0 {
		e.Guess = 1<<63 | uint64(r.IntN(spread))<<32 | uint64(token)
	}
	if r.IntN(3) == 0 {
		e.Outcome = score.Outcome(r.IntN(8))
	}
	if r.IntN(15) == 0 {
		e.Count = r.IntN(80)
	}
	if r.IntN(12) == 0 {
		e.At = max(now-r.Int64N(2*rules.HalfLife), 0)
	}
	return e
}

// step takes one step on both sides and compares all that can be compared.
func (d *driver) step(s *step) {
	d.t.Helper()
	flags, points, reading := d.inGo(s)
	reply, err := d.script.Run(context.Background(), d.client, []string{d.key}, packRules(s.rules), d.pack(s)).Slice()
	if err != nil {
		d.t.Fatalf("%+v: %v", s, err)
	}
	got, err := decodeAnswer(reply[0].(string), 1)
	if err != nil {
		d.t.Fatal(err)
	}
	if got.readings[0] != reading || got.flags != flags || got.points != points {
		d.t.Fatalf("%s, kind %d, %+v:\nread %+v flags %d points %d\nwant %+v flags %d points %d\n%+v",
			d.key, d.kind, s, got.readings[0], got.flags, got.points, reading, flags, points, d.model)
	}
	d.compare(s, reply[1].(string), reply[2].(int64))
}

// compare holds the kept value to the model, and its life to the time until
// which the model says anything.
func (d *driver) compare(s *step, value string, left int64) {
	d.t.Helper()
	kept := decodeSubject(d.t, value)
	if value == "" {
		late := clone(&d.model)
		late.Touch(s.now, d.kind, s.rules)
		if !late.Empty() {
			d.t.Fatalf("%s, %+v: nothing is kept of %+v", d.key, s, d.model)
		}
		d.model = score.Subject{}
		d.seen["dropped"]++
		return
	}
	m := &d.model
	if kept.At != m.At || kept.Score != m.Score || kept.Counted != m.Counted || kept.Repeats != m.Repeats ||
		!slices.Equal(kept.Ring, m.Ring) || !slices.Equal(kept.Places, m.Places) {
		d.t.Fatalf("%s, kind %d, %+v:\nkept %+v\nwant %+v", d.key, d.kind, s, kept, *m)
	}
	if left > 0 {
		after := clone(m)
		if after.Touch(s.now+left+1, d.kind, s.rules); !after.Empty() {
			d.t.Fatalf("%s, %+v: kept for %d ms, and then still %+v", d.key, s, left, after)
		}
	}
	d.note(value)
}

func (d *driver) note(value string) {
	if value[0] < 64 {
		d.seen["short head"]++
	} else {
		d.seen["long head"]++
	}
	if len(d.model.Ring) == score.RingSize {
		d.seen["a full ring"]++
	}
	if len(d.model.Places) == score.MaxPlaces {
		d.seen["all places taken"]++
	}
	if d.model.Repeats > 0 {
		d.seen["repeats"]++
	}
}

// inGo is value.lua's visit, and what becomes of the subject afterwards.
func (d *driver) inGo(s *step) (flags byte, points score.Milli, reading score.Reading) {
	sub := clone(&d.model)
	known := !sub.Empty()
	changed := false
	if s.deed == deedForget {
		sub.Forget()
		d.keep(sub)
		return 0, 0, reading
	}
	if !known && s.deed != deedReserve && s.deed != deedRecord {
		return 0, 0, reading
	}
	places := len(sub.Places)
	if sub.SetBack(s.now, s.rules) {
		d.seen["set back"]++
		changed = true
	}
	sub.Touch(s.event.At, d.kind, s.rules)
	if len(sub.Places) < places {
		d.seen["lapsed"]++
	}
	var added score.Milli
	switch s.deed {
	case deedReserve:
		flags, points = d.reserve(&sub, s)
		changed = changed || points > 0
	case deedGiveBack:
		if giveBackNewest(&sub, s.event) {
			d.seen["given back"]++
			changed = true
		}
	case deedSettle:
		changed = sub.Settle(s.event) || changed
	case deedRecord:
		added = sub.Record(d.kind, s.event, s.rules)
		if s.event.Outcome == score.Success && d.kind != score.Network {
			before := sub.Score
			sub.Forgive(s.event.Entry.Member(), s.rules)
			if sub.Score < before {
				d.seen["forgiven"]++
			}
		}
		changed = true
	}
	if sub.Score > 0 && sub.Score == s.rules.Tiers(d.kind).Ceiling() {
		d.seen["capped"]++
	}
	reading = sub.Read()
	reading.Added = added
	if changed {
		d.keep(sub)
	}
	return flags, points, reading
}

func (d *driver) reserve(sub *score.Subject, s *step) (flags byte, points score.Milli) {
	e := s.event
	fits, taken := sub.Reserve(d.kind, e, s.counts, s.rules)
	switch {
	case taken:
		d.seen["taken"]++
		return fitsFlag | takenFlag, sub.Places[len(sub.Places)-1].Points
	case fits:
		return fitsFlag, 0
	case !s.rules.Refuses(d.kind, sub.Score):
		d.seen["full"]++
		return fullFlag, 0
	default:
		d.seen["refused"]++
		return 0, 0
	}
}

func giveBackNewest(s *score.Subject, e score.Event) bool {
	for i := len(s.Places) - 1; i >= 0; i-- {
		if s.Places[i].Guess == e.Guess && s.Places[i].Entry == e.Entry {
			s.Places = slices.Delete(s.Places, i, i+1)
			return true
		}
	}
	return false
}

// keep is what a store does: an empty subject is none.
func (d *driver) keep(s score.Subject) {
	if s.Empty() {
		s = score.Subject{}
	}
	d.model = s
}

func clone(s *score.Subject) score.Subject {
	c := *s
	c.Ring, c.Places = slices.Clone(s.Ring), slices.Clone(s.Places)
	return c
}

// pack writes a step as testdata/drive.lua reads it.
func (d *driver) pack(s *step) []byte {
	bit := func(v bool) byte {
		if v {
			return 1
		}
		return 0
	}
	e := &s.event
	b := appendSix([]byte{byte(s.deed), byte(d.kind)}, s.now)
	b = append(b, byte(e.Outcome), byte(e.Secret), byte(max(e.Count, 0)), bit(e.Known), bit(e.Familiar), bit(s.counts))
	b = binary.LittleEndian.AppendUint64(b, e.Guess)
	b = binary.LittleEndian.AppendUint32(b, uint32(e.Entry))
	return appendSix(b, e.At)
}

// TestDecayTables holds every step of the decay, which a random walk would not
// meet.
func TestDecayTables(t *testing.T) {
	client, err := Connect(testConfig(startServer(t, "--appendonly", "no").addr))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	script := subjectSource + `
local out = {}
for steps = 0, 4096 do out[#out + 1] = decayed(tonumber(ARGV[2]), steps) end
return out`
	rules := packRules(rulesets()[0])
	for _, v := range []score.Milli{1, 999, 40_000, score.MaxScore} {
		got, err := client.Eval(ctx, script, []string{"k"}, rules, int64(v)).Int64Slice()
		if err != nil {
			t.Fatal(err)
		}
		for steps, x := range got {
			if want := score.Decay(v, int64(steps)); score.Milli(x) != want {
				t.Fatalf("%d after %d steps is %d, want %d", v, steps, x, want)
			}
		}
	}
}
