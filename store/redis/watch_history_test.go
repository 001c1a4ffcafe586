package redis

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/saslguard/saslguard/store"
)

// backup is how a server is taken back to a moment.
func (s *server) backup(t *testing.T) (restore func()) {
	t.Helper()
	s.do("SAVE")
	file := filepath.Join(s.dir, "dump.rdb")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		s.kill()
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s.start()
	}
}

func (s *server) ledgerName() string { return s.do("GET", "{sg:ledger}:name").(string) }

// TestOlderServer holds that a ledger which comes back without the changes that
// some process was told of is given another name, by the process itself or by the
// next one of its host; also if others have changed it since; and once.
func TestOlderServer(t *testing.T) {
	for name, x := range map[string]struct {
		restarted bool // the process that was told is another one
		changes   int  // made by others before it looks
		trimmed   bool // so many that its last change would no longer be in the stream
		told      int  // bans that it was told of after the backup
		want      bool // to be renamed
	}{
		"older":                       {told: 3, want: true},
		"older, restarted":            {restarted: true, told: 3, want: true},
		"older, and changed":          {changes: 5, told: 3, want: true},
		"older, changed, restarted":   {restarted: true, changes: 5, told: 3, want: true},
		"older, and changed a lot":    {changes: 3000, trimmed: true, told: 3000, want: true},
		"as it was":                   {},
		"as it was, restarted":        {restarted: true},
		"as it was, and changed":      {changes: 5},
		"as it was, changed a lot":    {changes: 3000, trimmed: true},
		"as it was, changed, anew":    {restarted: true, changes: 5},
		"as it was, a lot, restarted": {restarted: true, changes: 3000, trimmed: true},
	} {
		t.Run(name, func(t *testing.T) {
			srv, ctx := startServer(t, "--appendonly", "no", "--save", ""), context.Background()
			cfg := testConfig(srv.addr)
			cfg.StreamLength = 1000
			l, other := openLedger(t, cfg, nil), openLedger(t, cfg, nil)
			must[store.Entry](t)(l.Put(ctx, testBan(0)))
			follow := func(l *ledger, entries int) (stop func()) {
				watching, cancel := context.WithCancel(ctx)
				ended, tab := make(chan struct{}), &table{entries: map[string]store.Entry{}}
				go func() { defer close(ended); _ = l.Watch(watching, tab.follow) }()
				eventually(t, "all entries", func() bool { return tab.count(&tab.synced) > 0 && tab.size() == entries })
				return func() { cancel(); <-ended }
			}
			stop := follow(l, 1)
			restore := srv.backup(t)
			before := srv.ledgerName()
			for i := range x.told {
				must[store.Entry](t)(l.Put(ctx, testBan(1+i)))
			}
			stop()
			follow(l, 1+x.told)()
			told := l.Position()
			restore()
			for i := range x.changes {
				must[store.Entry](t)(other.Put(ctx, testBan(10_000+i)))
			}
			if x.restarted {
				l = openLedger(t, cfg, nil)
				l.Followed(before, told)
			}
			follow(l, 1+x.changes)()
			after := srv.ledgerName()
			if (after != before) != x.want {
				t.Errorf("renamed: %v", after != before)
			}
			follow(l, 1+x.changes)()
			follow(other, 1+x.changes)()
			if again := srv.ledgerName(); again != after {
				t.Error("renamed again")
			}
		})
	}
}
