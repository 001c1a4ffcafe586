package memory

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/boltfile"
	"github.com/saslguard/saslguard/test/fuzzing"
)

// What is decoded from any bytes is in range and encodes to the same again.
func FuzzSubjects(f *testing.F) {
	some := score.Subject{At: 1_800_000_000_000, Score: 3000, Counted: 3000, Repeats: 1500, Ring: []score.Entry{1, 2, 3}}
	one := appendSubject([]byte{subjectsVersion}, 42, score.Client, &some)
	f.Add([]byte{})
	f.Add([]byte{subjectsVersion})
	f.Add(one)
	f.Add(one[:len(one)-3])
	f.Add(appendSubject(one, 43, score.Pair, &score.Subject{At: 5, Score: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var sub score.Subject
		again := []byte{subjectsVersion}
		err := decodeSubjects(b, &sub, func(key uint64, kind score.Kind) {
			if len(sub.Ring) > score.RingSize || kind > score.Pair || sub.Score < 0 || sub.Score > score.MaxScore {
				t.Errorf("out of range: %d %+v", kind, sub)
			}
			again = appendSubject(again, key, kind, &sub)
		})
		if err == nil && string(again) != string(b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}

func FuzzEntry(f *testing.F) {
	now := time.UnixMilli(1_800_000_000_000).UTC()
	for _, e := range []store.Entry{
		{Kind: store.AutomaticBan, Prefix: netip.MustParsePrefix("192.0.2.7/32"), Since: now, Until: now.Add(time.Hour), Reason: "guessing", Rule: "client", By: "mx1", Times: 3},
		{Kind: store.OperatorBan, Account: "alice@example.org", Since: now, Reason: "gestohlen: ß", By: "root"},
		{Kind: store.Allow, Prefix: netip.MustParsePrefix("2001:db8::/32"), Since: now, Observed: true},
	} {
		k := keyOf(&e)
		f.Add(k.bytes(), encodeEntry(&e))
	}
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		e, err := decodeEntry(key, value)
		if err != nil {
			return
		}
		if err := e.Check(); err != nil {
			t.Errorf("%+v: %v", e, err)
		}
		k := keyOf(e)
		again, err := decodeEntry(k.bytes(), encodeEntry(e))
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Errorf("%+v became %+v, error %v", e, again, err)
		}
	})
}

func FuzzFamiliar(f *testing.F) {
	f.Add(pairKey{1, 2}.bytes(), encodePair(1_800_000_000))
	f.Add(accountKey(7), encodeRights(rights{}.with(5, 1_800_000_000, 3).with(6, 1_800_000_060, 3)))
	f.Add(entryKey{kind: store.Allow, account: "a"}.bytes(), encodeHistory(history{enforced: bans{2, 9}}))
	f.Add(entryKey{kind: store.AutomaticBan, account: "a"}.bytes(), encodeHistory(history{observed: bans{3, 9}}))
	f.Add(entryKey{kind: store.AutomaticBan, account: "a"}.bytes(), encodeLift(lift{at: 1_800_000_000_000, waits: true}))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if k, x, err := decodeLift(key, value); err == nil {
			if string(k.bytes()) != string(key) || string(encodeLift(x)) != string(value) {
				t.Errorf("removal %x %x became another", key, value)
			}
		}
		if k, until, err := decodePair(key, value); err == nil {
			if string(k.bytes()) != string(key) || string(encodePair(until)) != string(value) {
				t.Errorf("pair %x %x became another", key, value)
			}
		}
		if account, r, err := decodeRights(key, value); err == nil {
			if string(accountKey(account)) != string(key) || string(encodeRights(r)) != string(value) {
				t.Errorf("passwords %x %x became others", key, value)
			}
		}
		if k, h, err := decodeHistory(key, value); err == nil {
			if string(k.bytes()) != string(key) || string(encodeHistory(h)) != string(value) {
				t.Errorf("history %x %x became another", key, value)
			}
		}
		if v, err := boltfile.Unseal(key, value); err == nil && string(boltfile.Seal(key, append([]byte(nil), v...))) != string(value) {
			t.Errorf("seal of %x", value)
		}
	})
}

func TestRightsKeepTheNewest(t *testing.T) {
	var r rights
	for i, token := range []uint32{10, 11, 12, 13, 11} {
		r = r.with(token, uint32(100+i), 3)
	}
	if want := (rights{[3]uint32{11, 13, 12}, [3]uint32{104, 103, 102}}); r != want {
		t.Errorf("got %v, want %v", r, want)
	}
	if late := r.with(99, 1, 3); late != r {
		t.Errorf("an old one came in: %v", late)
	}
	if late := r.with(12, 50, 3); late != r {
		t.Errorf("an old success moved one: %v", late)
	}
	if got := r.with(7, 200, 1); got != (rights{token: [3]uint32{7}, at: [3]uint32{200}}) {
		t.Errorf("more than one is kept: %v", got)
	}
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
