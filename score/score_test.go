package score

import (
	"math"
	"math/rand"
	"testing"

	"github.com/saslguard/saslguard/test/fuzzing"
)

const hour = int64(3600_000)

func testRules() *Rules {
	return &Rules{
		HalfLife: hour, Failure: Point, UnknownAccount: Point, FurtherAccount: Point, FreeRepeats: 20,
		Client:  Tiers{3 * Point, 10 * Point, 20 * Point},
		Network: Tiers{Tarpit: 20 * Point},
		Account: Tiers{Tarpit: 10 * Point, Refuse: 20 * Point},
		Pair:    Tiers{Tarpit: 3 * Point, Refuse: 10 * Point},

		PlaceLife: 10_000,
	}
}

// event is a wrong password: member and token name account and password.
func event(at int64, member, token uint32) Event {
	return Event{At: at, Entry: MakeEntry(member, token), Outcome: Failure, Secret: Sure, Guess: uint64(member)<<32 | uint64(token) | 1<<63}
}

func record(s *Subject, e Event, r *Rules) Milli {
	s.Touch(e.At, Client, r)
	return s.Record(Client, e, r)
}

func TestDecayHalvesEveryHalfLife(t *testing.T) {
	r := testRules()
	for _, v := range []Milli{1, 2, 999, 20_000, 40_000, MaxScore} {
		for steps := int64(0); steps < 40*stepsPerHalfLife; steps += 37 {
			got, want := float64(Decay(v, steps)), float64(v)*math.Exp2(-float64(steps)/stepsPerHalfLife)
			if got > want+1e-5*float64(v) || got < want-3-1e-5*float64(v) {
				t.Fatalf("Decay(%d, %d) = %v, want about %v", v, steps, got, want)
			}
		}
	}
	if got := r.Steps(hour); got != stepsPerHalfLife {
		t.Errorf("Steps(an hour) = %d", got)
	}
	if r.Steps(-1) != 0 || r.Steps(math.MaxInt64) <= 0 {
		t.Error("spans out of range are not bounded")
	}
}

func TestDecayDoesNotDependOnHowOftenItIsLookedAt(t *testing.T) {
	r := testRules()
	often, once := Subject{At: 5, Score: 40_000, Counted: 40_000}, Subject{At: 5, Score: 40_000, Counted: 40_000}
	for at := int64(5); at <= 5+hour; at += 100 {
		often.Touch(at, Client, r)
	}
	once.Touch(5+hour, Client, r)
	// Each write rounds down by less than two thousandths.
	if d := once.Score - often.Score; d < 0 || d > 2*stepsPerHalfLife {
		t.Errorf("touched often %d, once %d", often.Score, once.Score)
	}
}

func TestFailuresAdd(t *testing.T) {
	known := event(0, 1, 1)
	known.Known = true
	with := func(o Outcome) Event { e := event(0, 1, 1); e.Outcome = o; return e }
	for name, c := range map[string]struct {
		events []Event
		kind   Kind
		want   Milli
	}{
		"one failure":                       {[]Event{event(0, 1, 1)}, Client, 1000},
		"two passwords":                     {[]Event{event(0, 1, 1), event(0, 1, 2)}, Client, 2000},
		"the same password again":           {[]Event{event(0, 1, 1), event(0, 1, 1), event(0, 1, 1)}, Client, 1000},
		"a further account costs more":      {[]Event{event(0, 1, 1), event(0, 2, 1)}, Client, 3000},
		"a client more is nothing special":  {[]Event{event(0, 1, 1), event(0, 2, 1)}, Account, 2000},
		"an unknown account costs more":     {[]Event{with(UnknownAccount)}, Client, 2000},
		"but not on the account":            {[]Event{with(UnknownAccount)}, Account, 1000},
		"a password that was right before":  {[]Event{known}, Client, 0},
		"success":                           {[]Event{with(Success)}, Client, 0},
		"ignored":                           {[]Event{with(Ignored)}, Client, 0},
		"refused counts on the client":      {[]Event{with(Refused), with(Refused)}, Client, 1000},
		"refused counts on no account":      {[]Event{with(Refused)}, Account, 0},
		"refused counts on no network":      {[]Event{with(Refused)}, Network, 0},
		"a trap takes it to the ban score":  {[]Event{with(Trapped)}, Client, 20_000},
		"a trap is the client's":            {[]Event{with(Trapped)}, Network, 0},
		"trapped from above the ban score":  {[]Event{{Outcome: Failure, Count: 30, Entry: MakeEntry(3, 0)}, with(Trapped)}, Client, 30_000},
		"an event may stand for many":       {[]Event{{Outcome: Failure, Count: 7, Entry: MakeEntry(3, 4090)}}, Client, 7000},
		"but for no more than the ring":     {[]Event{{Outcome: Failure, Count: 1 << 30, Entry: MakeEntry(3, 4090)}}, Client, 40_000},
		"never more than twice the ban":     {[]Event{{Outcome: Failure, Count: 50, Entry: MakeEntry(3, 0)}, {Outcome: Failure, Count: 50, Entry: MakeEntry(4, 0)}}, Client, 40_000},
		"a log line read twice counts once": {[]Event{{Outcome: Failure, Entry: MakeEntry(1, 7)}, {Outcome: Failure, Entry: MakeEntry(1, 7)}}, Client, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			var s Subject
			var added Milli
			for _, e := range c.events {
				s.Touch(e.At, c.kind, testRules())
				added += s.Record(c.kind, e, testRules())
			}
			if s.Score != c.want || added != c.want {
				t.Errorf("score %d, added %d, want %d", s.Score, added, c.want)
			}
		})
	}
}

func TestNothingCountsWhereThereAreNoTiers(t *testing.T) {
	r := testRules()
	r.Network = Tiers{}
	var s Subject
	if added := s.Record(Network, event(0, 1, 1), r); added != 0 || !s.Empty() {
		t.Errorf("added %d", added)
	}
}

func TestRepeatsOfAnUnsureGuessAreFreeForAWhile(t *testing.T) {
	r := testRules()
	var s Subject
	e := event(1000, 1, 1)
	e.Secret = Unsure
	for i := range 21 { // the first is the guess itself
		if got, want := record(&s, e, r), Milli(0); (i > 0) != (got == want) {
			t.Fatalf("try %d added %d", i, got)
		}
	}
	if got := record(&s, e, r); got != r.Failure {
		t.Errorf("the 21st repeat added %d", got)
	}
	e.At += hour
	if got := record(&s, e, r); got != 0 {
		t.Errorf("a repeat a half-life later added %d", got)
	}
}

func TestRotatingTokensCountOnce(t *testing.T) {
	r := testRules()
	var s Subject
	e := event(1000, 1, 1)
	e.Secret = Rotates
	for range 100 {
		record(&s, e, r)
	}
	if s.Score != r.Failure {
		t.Errorf("score %d", s.Score)
	}
}

func TestForgivingTakesWhatIsOwedAndNoMore(t *testing.T) {
	r := testRules()
	var s Subject
	for i := range uint32(4) { // 1 + 3×1 on account 1
		record(&s, event(0, 1, i), r)
	}
	record(&s, event(0, 2, 0), r) // 2 on account 2
	s.Forgive(3, r)
	if s.Score != 6000 {
		t.Fatalf("a stranger's success forgave: %d", s.Score)
	}
	s.Forgive(1, r)
	if s.Score != 2000 || s.Counted != 1000 || len(s.Ring) != 1 {
		t.Fatalf("after account 1: score %d, counted %d, ring %d", s.Score, s.Counted, len(s.Ring))
	}
	s.Forgive(2, r)
	if s.Score != 0 || !s.Empty() {
		t.Fatalf("after account 2: %+v", s)
	}
}

// A success of the attacker's own account never pays for guesses at others'.
func TestForgivingIsNoBargain(t *testing.T) {
	r := testRules()
	var s Subject
	for i := range uint32(5) {
		record(&s, event(0, 100+i, 0), r) // 1 + 4×2
	}
	before := s.Score
	for i := range uint32(10) {
		paid := record(&s, event(0, 1, i), r)
		s.Forgive(1, r)
		if s.Score < before {
			t.Fatalf("round %d: paid %d, score fell from %d to %d", i, paid, before, s.Score)
		}
		before = s.Score
	}
}

func TestForgivingKnowsWhatFellOutOfTheRing(t *testing.T) {
	r := testRules()
	r.Client = Tiers{300 * Point, 500 * Point, 1000 * Point}
	var s Subject
	for i := range uint32(100) {
		record(&s, event(0, 9, i), r)
	}
	for i := range uint32(RingSize) {
		record(&s, event(0, 1, i), r)
	}
	s.Forgive(1, r)
	if s.Score < 99*Point || len(s.Ring) != 0 {
		t.Errorf("score %d, ring %d: a hundred guesses at another account are owed", s.Score, len(s.Ring))
	}
}

func TestPlacesMakeTheBudgetExact(t *testing.T) {
	r := testRules()
	r.UnknownAccount, r.FurtherAccount = 0, 0
	var s Subject
	passed := 0
	for i := range uint32(1000) {
		e := event(0, 1, i)
		q := e
		q.Outcome = Unknown
		s.Touch(0, Client, r)
		if fits, taken := s.Reserve(Client, q, true, r); fits {
			passed++
			if !taken {
				t.Fatal("passed without a place")
			}
		}
	}
	if passed != 10 || s.Read().InFlight != 10*Point {
		t.Fatalf("%d passed, %d in flight", passed, s.Read().InFlight)
	}
	for i := range uint32(10) {
		record(&s, event(0, 1, i), r)
	}
	if s.Score != 10*Point || len(s.Places) != 0 {
		t.Errorf("score %d, %d places", s.Score, len(s.Places))
	}
}

func TestReserve(t *testing.T) {
	r := testRules()
	question := func(member, token uint32, session uint64) Event {
		return Event{At: 1000, Entry: MakeEntry(member, token), Secret: Sure, Guess: session}
	}
	reserve := func(s *Subject, e Event) (bool, bool) {
		s.Touch(e.At, Client, r)
		return s.Reserve(Client, e, true, r)
	}
	t.Run("both questions share a place", func(t *testing.T) {
		var s Subject
		reserve(&s, question(1, 1, 7))
		if fits, taken := reserve(&s, question(1, 1, 7)); !fits || taken || len(s.Places) != 1 {
			t.Errorf("%v %v, %d places", fits, taken, len(s.Places))
		}
	})
	t.Run("the same password in five connections is one guess", func(t *testing.T) {
		var s Subject
		for i := range uint64(5) {
			reserve(&s, question(1, 1, i+1))
		}
		if len(s.Places) != 1 {
			t.Errorf("%d places", len(s.Places))
		}
	})
	t.Run("attempts that cannot be told apart each take one", func(t *testing.T) {
		var s Subject
		for range 3 {
			e := question(1, uint32(rand.Intn(4096)), 0)
			e.Secret = None
			reserve(&s, e)
		}
		if len(s.Places) != 3 {
			t.Fatalf("%d places", len(s.Places))
		}
		e := question(1, 77, 0)
		e.Secret, e.Outcome = None, Failure
		if s.Settle(e); len(s.Places) != 2 {
			t.Errorf("a failure left %d places", len(s.Places))
		}
		if e.Outcome = Success; !s.Settle(e) || len(s.Places) != 0 {
			t.Errorf("a success left %d places", len(s.Places))
		}
	})
	t.Run("what can add nothing takes none", func(t *testing.T) {
		var s Subject
		record(&s, event(1000, 1, 1), r)
		e := question(1, 1, 9)
		if fits, taken := reserve(&s, e); !fits || taken {
			t.Error("a repeat took a place")
		}
		e = question(1, 2, 9)
		e.Known = true
		if fits, taken := reserve(&s, e); !fits || taken {
			t.Error("a known password took a place")
		}
		s.Score = 10 * Point
		if fits, _ := reserve(&s, e); fits {
			t.Error("passed at the refuse score")
		}
	})
	t.Run("no refusal, no place", func(t *testing.T) {
		var s Subject
		if fits, taken := s.Reserve(Network, question(1, 1, 1), true, r); !fits || taken {
			t.Error("a network that is never refused took a place")
		}
	})
	t.Run("places are bounded", func(t *testing.T) {
		r := testRules()
		r.Client = Tiers{300 * Point, 500 * Point, 1000 * Point}
		var s Subject
		for i := range uint32(MaxPlaces + 10) {
			s.Reserve(Client, question(1, i, uint64(i)+1), true, r)
		}
		if len(s.Places) != MaxPlaces {
			t.Errorf("%d places", len(s.Places))
		}
	})
}

func TestParallelGuessesAtManyAccountsAreTheBudgetToo(t *testing.T) {
	r := testRules()
	r.UnknownAccount, r.FurtherAccount = 0, 3*Point
	var s Subject
	var passed []Event
	for i := range uint32(20) {
		e := event(0, i, i)
		q := e
		q.Outcome = Unknown
		if fits, _ := s.Reserve(Client, q, true, r); fits {
			passed = append(passed, e)
		}
	}
	reserved := s.inFlight()
	for _, e := range passed {
		s.Record(Client, e, r)
	}
	if s.Score > reserved || len(s.Places) != 0 {
		t.Errorf("%d guesses added %d, and reserved %d", len(passed), s.Score, reserved)
	}
}

func TestLapse(t *testing.T) {
	r := testRules()
	q := Event{At: 1000, Entry: MakeEntry(1, 1), Secret: Sure, Guess: 5, Familiar: true}
	for name, counts := range map[string]bool{"counts": true, "does not count": false} {
		t.Run(name, func(t *testing.T) {
			var s Subject
			s.Touch(1000, Client, r)
			s.Reserve(Client, q, counts, r)
			s.Touch(10_999, Client, r)
			if len(s.Places) != 1 || s.Score != 0 {
				t.Fatal("lapsed too early")
			}
			s.Touch(11_000, Client, r)
			if len(s.Places) != 0 || (s.Score == r.Failure) != counts {
				t.Errorf("%d places, score %d", len(s.Places), s.Score)
			}
			late := q
			late.Outcome, late.At = Failure, 12_000
			if added := record(&s, late, r); counts && added != 0 {
				t.Errorf("its late report added %d more", added)
			}
		})
	}
}

func TestAClockThatIsSetBack(t *testing.T) {
	r := testRules()
	var s Subject
	q := event(30*hour, 1, 1)
	q.Outcome = Unknown
	s.Touch(q.At, Client, r)
	s.Reserve(Client, q, true, r)
	record(&s, event(30*hour, 1, 2), r)
	if s.SetBack(30*hour, r) {
		t.Error("set back although no clock was")
	}
	now := 6 * hour
	if !s.SetBack(now, r) || s.At != now || s.Places[0].Until != now+r.PlaceLife {
		t.Errorf("%+v", s)
	}
	if added := record(&s, event(now, 1, 3), r); added != Point {
		t.Errorf("then a failure adds %d", added)
	}
}

func TestLateEventsHaveDecayed(t *testing.T) {
	r := testRules()
	var s Subject
	record(&s, event(10*hour, 1, 1), r)
	at := s.At
	if added := record(&s, event(9*hour, 1, 2), r); added != 500 {
		t.Errorf("an hour late, it added %d", added)
	}
	if s.At != at {
		t.Error("the clock was turned back")
	}
}

func TestAScoreOfZeroIsANewSubject(t *testing.T) {
	r := testRules()
	var s Subject
	record(&s, event(0, 1, 1), r)
	s.Touch(20*hour, Client, r)
	if !s.Empty() || len(s.Ring) != 0 || s.Counted != 0 {
		t.Errorf("%+v", s)
	}
}

// FuzzSubject holds every sequence of events to the bounds.
func FuzzSubject(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})
	f.Add([]byte("reserve, record, forgive, and so on until the ring is full"))
	f.Fuzz(func(t *testing.T, steps []byte) {
		r := testRules()
		var s Subject
		now := int64(1_000_000)
		kind := Kind(len(steps) % 4)
		for len(steps) >= 4 {
			op, member, token, wait := steps[0], uint32(steps[1]%8), uint32(steps[2]), int64(steps[3])
			steps = steps[4:]
			now += wait * wait * 50
			e := Event{
				At: now - int64(op%3)*5000, Entry: MakeEntry(member, token), Guess: uint64(token % 16),
				Outcome: Outcome(op % 8), Secret: Secret(token % 4), Known: op%11 == 0, Familiar: op%5 == 0, Count: int(member),
			}
			before := s.Score
			s.Touch(now, kind, r)
			if s.Score > before && len(s.Places) > MaxPlaces {
				t.Fatal("touch raised the score without a lapse")
			}
			if e.Outcome == Unknown {
				s.Reserve(kind, e, op%2 == 0, r)
			} else if added := s.Record(kind, e, r); added < 0 {
				t.Fatalf("recording took %d", added)
			}
			if e.Outcome == Success {
				s.Forgive(e.Entry.Member(), r)
			}
			if s.Score < 0 || s.Score > MaxScore || s.Counted < 0 || s.Repeats < 0 || len(s.Ring) > RingSize || len(s.Places) > MaxPlaces {
				t.Fatalf("out of bounds: %+v", s)
			}
			if s.Distinct != s.distinct() {
				t.Fatalf("%d members are counted, and %d in the ring: %+v", s.Distinct, s.distinct(), s)
			}
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	r := testRules()
	s := Subject{Ring: make([]Entry, 0, RingSize)}
	b.ReportAllocs()
	for i := range b.N {
		record(&s, event(int64(i)*1000, uint32(i%16), uint32(i)), r)
	}
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
