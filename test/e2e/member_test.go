package e2e

import (
	"context"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/failover"
	"github.com/saslguard/saslguard/store/memory"
	"github.com/saslguard/saslguard/store/redis"
	"github.com/saslguard/saslguard/test/lab"
)

// member is the store of one host of a cluster in the test's own process, so that
// the test can have it say what no face says, by a clock that may be wrong. It has
// a Redis user of its own, so that it can be cut off while the others go on.
type member struct {
	*testing.T
	*failover.Store
	name   string
	server *lab.Redis
	admin  *goredis.Client
	file   string
	ahead  time.Duration // of Redis' clock
	local  *memory.Store
	logs   *observer.ObservedLogs
}

// startMember starts a host whose clock is ahead of Redis' by some time.
func startMember(t *testing.T, server *lab.Redis, name string, ahead time.Duration) *member {
	t.Helper()
	m := &member{T: t, name: name, server: server, admin: server.Client(t), file: filepath.Join(t.TempDir(), "state.db"), ahead: ahead}
	m.join()
	m.open()
	t.Cleanup(m.close)
	m.shares(true)
	return m
}

func (m *member) now() time.Time { return time.Now().Add(m.ahead) }

func (m *member) open() {
	m.Helper()
	core, logs := observer.New(zap.InfoLevel)
	m.logs = logs
	var err error
	m.local, err = memory.Open(memory.Config{Subjects: 100_000, Bans: 10_000, Familiar: 10_000}, memory.Options{Path: m.file, Shared: true, Now: m.now})
	if err != nil {
		m.Fatal(err)
	}
	cfg := sharedConfig(m.server.Addr)
	cfg.User, cfg.Password = m.name, "secret"
	client, err := redis.Connect(cfg)
	if err != nil {
		m.Fatal(err)
	}
	remote, err := redis.New(client, cfg, redis.Options{Logger: zap.New(core)})
	if err != nil {
		m.Fatal(err)
	}
	m.Store, err = failover.New(m.local, remote, failover.Options{
		Deadline: time.Second, ProbeEvery: 100 * time.Millisecond, Now: m.now, Logger: zap.New(core),
	})
	if err != nil {
		m.Fatal(err)
	}
}

// close ends the host; open starts it again, with the file that it left.
func (m *member) close() {
	m.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := m.Store.Close(ctx); err != nil {
		m.Errorf("closing host %s: %v", m.name, err)
	}
}

// cutOff parts the host from Redis, which goes on.
func (m *member) cutOff() {
	m.Helper()
	ctx := context.Background()
	if err := m.admin.Do(ctx, "ACL", "SETUSER", m.name, "off").Err(); err != nil {
		m.Fatal(err)
	}
	if err := m.admin.Do(ctx, "CLIENT", "KILL", "USER", m.name).Err(); err != nil {
		m.Fatal(err)
	}
	for m.up() {
		// Somebody has to ask for it to be noticed.
		m.look(netip.MustParsePrefix("192.0.2.1/32"))
	}
}

func (m *member) join() {
	m.Helper()
	if err := m.admin.Do(context.Background(), "ACL", "SETUSER", m.name, "on", ">secret", "~*", "&*", "+@all").Err(); err != nil {
		m.Fatal(err)
	}
}

func (m *member) up() bool {
	ok, _ := m.Health()
	return ok
}

func (m *member) shares(want bool) {
	m.Helper()
	m.eventually("the host to share what it knows, or not to", func() bool { return m.up() == want })
}

func (m *member) eventually(what string, done func() bool) {
	m.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			_, health := m.Health()
			m.Fatalf("host %s: waited in vain for %s; health: %s; log: %v", m.name, what, health, m.logs.All())
		}
	}
}

func (m *member) look(client netip.Prefix) store.Standing {
	m.Helper()
	return m.do(store.Op{Verb: store.Look, Client: client})
}

func (m *member) do(op store.Op) store.Standing {
	m.Helper()
	op.Network, op.Rules, op.At = netip.PrefixFrom(op.Client.Addr(), 24).Masked(), partedRules(), m.now()
	out := make([]store.Standing, 1)
	if err := m.Do(context.Background(), []store.Op{op}, out); err != nil {
		m.Fatal(err)
	}
	return out[0]
}

func (m *member) put(e store.Entry) store.Entry {
	m.Helper()
	e.By = m.name
	got, err := m.Put(context.Background(), e)
	if err != nil {
		m.Fatal(err)
	}
	return got
}

func (m *member) lift(e store.Entry) {
	m.Helper()
	if _, err := m.Remove(context.Background(), e); err != nil {
		m.Fatal(err)
	}
}

// entry is the entry of the same name that is in force here, nil if there is none.
func (m *member) entry(e store.Entry) (found *store.Entry) {
	m.Helper()
	return entryIn(m.Store, e, m.now())
}

func entryIn(l store.Ledger, e store.Entry, now time.Time) (found *store.Entry) {
	_ = l.Watch(context.Background(), func(v store.Event) error {
		switch {
		case v.Kind == store.Synced:
			return context.Canceled
		case v.Kind == store.Put && v.Entry.Kind == e.Kind && v.Entry.Prefix == e.Prefix && v.Entry.Account == e.Account && v.Entry.Live(now):
			found = &v.Entry
		}
		return nil
	})
	return found
}

// has waits until an entry is in force here, or is not.
func (m *member) has(what string, e store.Entry, want bool) {
	m.Helper()
	m.eventually(what, func() bool { return (m.entry(e) != nil) == want })
}
