package score

import "testing"

func TestLevel(t *testing.T) {
	r := testRules()
	question := func(member, token uint32) Event {
		e := event(1000, member, token)
		e.Outcome = Unknown
		return e
	}
	level := func(s *Subject, known Reading, lower bool) bool {
		before := s.Read()
		return s.Level(&known, &before, lower, 1000, r)
	}
	t.Run("what failed elsewhere counts", func(t *testing.T) {
		var s Subject
		record(&s, event(1000, 1, 1), r)
		if !level(&s, Reading{Score: 6 * Point}, false) || s.Score != 6*Point {
			t.Fatalf("score %d", s.Score)
		}
		// Whoever logs in here is forgiven what he owes here.
		if s.Forgive(1, r); s.Score != 5*Point {
			t.Errorf("after a success %d", s.Score)
		}
		if level(&s, Reading{Score: 5 * Point}, true) {
			t.Error("changed although both agree")
		}
	})
	t.Run("what was forgiven elsewhere does not", func(t *testing.T) {
		var s Subject
		for i := range uint32(8) {
			record(&s, event(1000, 1, i), r)
		}
		if level(&s, Reading{Score: 2 * Point}, false) {
			t.Error("lowered although the other store lacks something")
		}
		if level(&s, Reading{Score: 8*Point - 3}, true) {
			t.Error("lowered for a rounding")
		}
		if !level(&s, Reading{Score: 2 * Point}, true) || s.Score != 2*Point || s.Counted != 2*Point {
			t.Errorf("score %d, counted %d", s.Score, s.Counted)
		}
		if !level(&s, Reading{}, true) || !s.Empty() || len(s.Ring) != 0 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("nor does an answer from before the last failure lower it", func(t *testing.T) {
		var s Subject
		record(&s, event(1000, 1, 1), r)
		before := s.Read()
		record(&s, event(1000, 1, 2), r)
		if known := (Reading{Score: Point}); s.Level(&known, &before, true, 1000, r) {
			t.Errorf("score %d", s.Score)
		}
	})
	t.Run("what is in flight elsewhere takes a place", func(t *testing.T) {
		var s Subject
		s.Reserve(Client, question(1, 1), true, r)
		mine := s.Read().InFlight
		level(&s, Reading{InFlight: mine + 7*Point}, true)
		if got := s.Read(); got.Elsewhere != 7*Point || got.InFlight != mine+7*Point {
			t.Fatalf("%+v", got)
		}
		// No other account is tried for it.
		if fits, _ := s.Reserve(Client, question(1, 2), true, r); !fits || s.Read().InFlight != 2*mine+7*Point {
			t.Errorf("%+v", s.Read())
		}
		if fits, _ := s.Reserve(Client, question(1, 3), true, r); fits {
			t.Errorf("more than the budget fits: %+v", s.Read())
		}
		level(&s, Reading{InFlight: 2*mine + 2*Point}, true)
		if got := s.Read(); got.Elsewhere != 2*Point || len(s.Places) != 3 {
			t.Errorf("%+v", got)
		}
		level(&s, Reading{InFlight: mine}, true)
		if got := s.Read(); got.Elsewhere != 0 || got.InFlight != 2*mine {
			t.Errorf("%+v", got)
		}
	})
	t.Run("and lapses for nothing", func(t *testing.T) {
		var s Subject
		level(&s, Reading{InFlight: 7 * Point}, true)
		if s.Touch(1000+r.PlaceLife, Client, r); !s.Empty() {
			t.Errorf("%+v", s)
		}
	})
	t.Run("places are bounded", func(t *testing.T) {
		var s Subject
		for i := range uint64(MaxPlaces) {
			s.Places = append(s.Places, Place{Guess: 2*i + 1, Until: 5000})
		}
		if level(&s, Reading{InFlight: Point}, true) || len(s.Places) != MaxPlaces {
			t.Errorf("%d places", len(s.Places))
		}
	})
}
