package redis

import (
	"testing"

	"github.com/saslguard/saslguard/score"
)

// epoch is from when value.lua counts the times of a short head.
const epoch = 1577836800000

// decodeSubject reads a value as value.lua writes it.
func decodeSubject(t testing.TB, value string) (s score.Subject) {
	t.Helper()
	if value == "" || value == "\x40" {
		return s
	}
	take := func(n int) int64 {
		if len(value) < n {
			t.Fatalf("a value ends %d octets too early", n-len(value))
		}
		v := little(value[:n])
		value = value[n:]
		return int64(v)
	}
	n, places := take(1), int64(0)
	if n < 64 {
		s.At = take(5) + epoch
		s.Score = score.Milli(take(2))
		s.Counted = s.Score
	} else {
		n -= 128
		s.At = take(6)
		s.Score, s.Counted, s.Repeats = score.Milli(take(4)), score.Milli(take(4)), score.Milli(take(4))
		places = take(1)
	}
	for range n {
		s.Ring = append(s.Ring, score.Entry(take(4)))
	}
	for range places {
		s.Places = append(s.Places, score.Place{
			Guess: uint64(take(8)), Until: take(6), Points: score.Milli(take(4)),
			Entry: score.Entry(take(4)), Counts: take(1) == 1,
		})
	}
	if value != "" {
		t.Fatalf("%d octets are left of a value", len(value))
	}
	return s
}
