package memory

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/boltfile"
	"github.com/saslguard/saslguard/store/storetest"
)

// fill gives a store some of everything.
func fill(t *testing.T, s *Store, n int) {
	t.Helper()
	ctx, rules := context.Background(), storetest.Rules()
	out := make([]store.Standing, 1)
	for i := range n {
		client, network := attacker(i)
		op := store.Op{
			Verb: store.Record, ID: uint64(i + 1), Client: client, Network: network, Rules: rules,
			Account: fmt.Sprintf("user%d@example.org", i), Token: uint32(i), Secret: score.Sure, Outcome: score.Failure,
		}
		if err := s.Do(ctx, []store.Op{op}, out); err != nil {
			t.Fatal(err)
		}
		op.Account, op.Outcome = fmt.Sprintf("friend%d@example.org", i/maxNetworks), score.Success
		if err := s.Do(ctx, []store.Op{op}, out); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			e := store.Entry{
				Kind: store.AutomaticBan, Prefix: client, Reason: "guessing", Rule: "client", By: "mx1",
				Ladder: store.Ladder{First: time.Hour, Max: 24 * time.Hour, Forget: 60 * 24 * time.Hour},
			}
			if _, err := s.Put(ctx, e); err != nil {
				t.Fatal(err)
			}
		}
	}
	for end := time.Now().Add(10 * time.Second); s.people.pairs.Load() < int64(n); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d pairs are familiar", s.people.pairs.Load(), n)
		}
	}
}

// filled returns the bytes of a file that a closed store left.
func filled(t *testing.T, n int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := Open(testConfig(), quick(path, newClock()))
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, n)
	closeStore(t, s)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func watched() (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.InfoLevel)
	return zap.New(core), logs
}

// openBytes opens a store over a file of these bytes and checks that it works.
func openBytes(t *testing.T, b []byte) (*Store, *observer.ObservedLogs, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	log, logs := watched()
	opts := quick(path, newClock())
	opts.Logger = log
	s := open(t, testConfig(), opts)
	if _, err := s.Put(context.Background(), store.Entry{Kind: store.Allow, Account: "a"}); err != nil {
		t.Fatalf("a store over %d bytes cannot be written: %v", len(b), err)
	}
	return s, logs, path
}

func asides(t *testing.T, path string) []string {
	t.Helper()
	found, err := filepath.Glob(path + ".unusable-*")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTruncatedFileIsSetAside(t *testing.T) {
	whole := filled(t, 200)
	lengths := []int{1, 15, 16, 79, 80, 4095, 4096, 4097, 8192, 12288, 16384, len(whole) / 2}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		lengths = append(lengths, 1+r.IntN(len(whole)/2))
	}
	for _, n := range lengths {
		s, logs, path := openBytes(t, whole[:n])
		if got := asides(t, path); len(got) != 1 {
			t.Errorf("%d of %d bytes: set aside as %v", n, len(whole), got)
		} else if kept, _ := os.ReadFile(got[0]); len(kept) != n {
			t.Errorf("%d bytes: set aside are %d", n, len(kept))
		}
		if logs.FilterMessageSnippet("set aside").Len() != 1 {
			t.Errorf("%d bytes: logged %v", n, logs.All())
		}
		closeStore(t, s)
	}
}

// A garbled file is set aside, or loses only what was garbled; it never stops
// the store from being opened and written, and nobody is banned by mistake.
func TestGarbledFile(t *testing.T) {
	whole := filled(t, 1000)
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := append([]byte(nil), whole...)
		for range 1 + r.IntN(20) {
			switch at := r.IntN(len(b) - 64); r.IntN(3) {
			case 0:
				b[at] ^= 1 << r.IntN(8)
			case 1:
				binary.NativeEndian.PutUint64(b[at:], r.Uint64())
			default:
				page := at &^ 4095
				binary.NativeEndian.PutUint64(b[page+r.IntN(8)*8:], r.Uint64N(64))
			}
		}
		s, _, _ := openBytes(t, b)
		for k, e := range s.ledger.entries {
			if k.kind == store.AutomaticBan && (e.Reason != "guessing" || e.Prefix.Addr().As4()[3] != 66) {
				t.Errorf("seed %d: an entry out of nothing: %+v", seed, e)
			}
		}
		closeStore(t, s)
	}
}

func TestForeignFileIsSetAside(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other.db")
	db, err := bbolt.Open(other, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("mailboxes")); return err }); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	foreign, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"text":       []byte("store:\n  subjects: 1000000\n"),
		"zeros":      make([]byte, 65536),
		"SQLite":     append([]byte("SQLite format 3\x00"), make([]byte, 8176)...),
		"other bolt": foreign,
	} {
		_, logs, path := openBytes(t, b)
		if len(asides(t, path)) != 1 || logs.FilterMessageSnippet("set aside").Len() != 1 {
			t.Errorf("%s: was not set aside", name)
		}
	}
}

func TestNewerFileIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	closeStore(t, open(t, testConfig(), quick(path, newClock())))
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(nameMeta)).Put([]byte(metaVersion), []byte{2, 0, 0, 0})
	}); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	log, logs := watched()
	opts := quick(path, newClock())
	opts.Logger = log
	open(t, testConfig(), opts)
	if len(asides(t, path)) != 1 {
		t.Error("was not set aside")
	}
	why := logs.FilterMessageSnippet("set aside").All()
	if len(why) != 1 || !strings.Contains(fmt.Sprint(why[0].ContextMap()["why"]), "format 2") {
		t.Errorf("logged %v", why)
	}
}

func TestLockedFileIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	open(t, testConfig(), quick(path, newClock()))
	_, err := Open(testConfig(), quick(path, newClock()))
	if !errors.Is(err, boltfile.ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("got error %v", err)
	}
	if got := asides(t, path); len(got) != 0 {
		t.Errorf("set aside: %v", got)
	}
}

func TestFileMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deeper", "state.db")
	open(t, testConfig(), quick(path, newClock()))
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
}

func TestUnreadableFileIsAnErrorAndStays(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(testConfig(), quick(path, newClock())); err == nil {
		t.Error("a directory was opened")
	}
	if got := asides(t, path); len(got) != 0 {
		t.Errorf("set aside: %v", got)
	}
}

// What Put, pairs and passwords promise holds without Close: the file is copied
// as a killed process would leave it.
func TestKilled(t *testing.T) {
	c := newClock()
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, testConfig(), quick(path, c))
	fill(t, s, 50)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again, _, copied := openBytes(t, b)
	if len(asides(t, copied)) != 0 {
		t.Fatal("the file was set aside")
	}
	if got := again.ledger.count(store.AutomaticBan); got != 5 {
		t.Errorf("%d bans, want 5", got)
	}
	if got := again.people.pairs.Load(); got != 50 {
		t.Errorf("%d pairs, want 50", got)
	}
	if s.Key() != again.Key() {
		t.Error("another key")
	}
}

// A host that dies loses what was counted since the last flush, and no more.
func TestFlushedScoresSurvive(t *testing.T) {
	c := newClock()
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, testConfig(), quick(path, c))
	fill(t, s, 50)
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again, _, _ := openBytes(t, b)
	if a, b := s.sum(func(p *shard) uint64 { return uint64(p.heads.live()) }),
		again.sum(func(p *shard) uint64 { return uint64(p.heads.live()) }); a != b || a == 0 {
		t.Errorf("%v subjects of %v", b, a)
	}
}

// A second flush and a third run see the chunks of the first run replaced.
func TestRewrittenScores(t *testing.T) {
	c := newClock()
	path := filepath.Join(t.TempDir(), "state.db")
	var want float64
	for run := range 4 {
		s, err := Open(testConfig(), quick(path, c))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.sum(func(p *shard) uint64 { return uint64(p.heads.live()) }); got != want {
			t.Errorf("run %d begins with %v subjects, want %v", run, got, want)
		}
		if run == 2 {
			for n := range 100 {
				client, _ := attacker(n)
				_ = s.ForgetClient(context.Background(), client)
			}
		} else {
			fill(t, s, 100*(run+1))
		}
		want = s.sum(func(p *shard) uint64 { return uint64(p.heads.live()) })
		closeStore(t, s)
	}
}

func TestFailingDiskStopsNoLogins(t *testing.T) {
	for name, spoil := range map[string]func(s *Store, path string) error{
		"closed under us": func(s *Store, _ string) error { return s.file.DB.Close() },
		// Touching the mapping beyond the end of the file is a SIGBUS.
		"truncated under us": func(_ *Store, path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			log, logs := watched()
			opts := quick(path, newClock())
			opts.Logger = log
			s, err := Open(testConfig(), opts)
			if err != nil {
				t.Fatal(err)
			}
			fill(t, s, 20)
			if err := spoil(s, path); err != nil {
				t.Fatal(err)
			}
			client, network := attacker(1000)
			for range 3 {
				e := store.Entry{Kind: store.OperatorBan, Prefix: client}
				if _, err := s.Put(context.Background(), e); err == nil {
					t.Error("Put does not fail")
				}
			}
			if n := s.ledger.count(store.OperatorBan); n != 0 {
				t.Errorf("%d entries are in force that are not durable", n)
			}
			out := make([]store.Standing, 1)
			op := store.Op{
				Verb: store.Record, Client: client, Network: network, Account: "a", Outcome: score.Success,
				Secret: score.Sure, Token: 1, Rules: storetest.Rules(),
			}
			if err := s.Do(context.Background(), []store.Op{op}, out); err != nil {
				t.Errorf("Do: %v", err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := s.Close(ctx); err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Close: %v", err)
			}
			if n := logs.FilterMessageSnippet("cannot be written").Len(); n != 1 {
				t.Errorf("logged %d times", n)
			}
		})
	}
}

func TestConfigCheck(t *testing.T) {
	var keys []string
	Config{Subjects: 1, Bans: 20_000_000, Familiar: 999}.Check(func(key, text string) {
		keys = append(keys, key)
		if !strings.Contains(text, "must be from") {
			t.Errorf("%s: %s", key, text)
		}
	})
	if fmt.Sprint(keys) != "[subjects bans familiar]" {
		t.Errorf("problems with %v", keys)
	}
	if _, err := Open(Config{}, Options{}); err == nil {
		t.Error("an empty configuration was taken")
	}
}
