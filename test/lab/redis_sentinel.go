package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Sentinel is a master with two replicas, watched by three sentinels.
type Sentinel struct {
	Name      string   // of the master, among the sentinels
	Sentinels []string // their addresses
	Nodes     []*Redis // the data; the first was the first master

	sentinels []*Redis
}

const (
	sentinelName = "lab"
	// sentinelDownAfter is how long a master must be silent.
	sentinelDownAfter = time.Second
	// sentinelFailover is after what a failover that hangs is given up; it is
	// tried again after twice that time.
	sentinelFailover = 3 * time.Second
	// failoverWithin is how long the lab waits for a change of masters, and for
	// any other agreement of several servers.
	failoverWithin = 30 * time.Second
)

// StartSentinel runs them until the test ends. When it returns, the replicas
// have copied the master and the sentinels know each other.
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	Require(t, NeedRedis)
	s := &Sentinel{Name: sentinelName}
	master := StartRedis(t, RedisOptions{})
	s.Nodes = append(s.Nodes, master)
	host, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.Nodes = append(s.Nodes, StartRedis(t, RedisOptions{Args: []string{"--replicaof", host, port}}))
	}
	// Before the sentinels start: they ask the master for its replicas at once,
	// and then not for a while.
	if err := eventually(failoverWithin, func() error { return s.replicated(master) }); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r := startRedis(t, "Sentinel", 1, func(dir string, addrs []netip.AddrPort) ([]string, error) {
			return sentinelCommand(dir, addrs[0], host, port)
		})
		s.sentinels = append(s.sentinels, r)
		s.Sentinels = append(s.Sentinels, r.Addr)
		// Hurry, since a test waits; and no TILT, in which a sentinel does
		// nothing for half a minute because a busy machine held it up.
		// Asking a new master once a second, the default, would be too late for
		// sentinelDownAfter.
		if _, err := r.do("SENTINEL", "DEBUG", "PING-PERIOD", 400, "INFO-PERIOD", 1000, "PUBLISH-PERIOD", 300,
			"TILT-TRIGGER", 20000, "TILT-PERIOD", 1000); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.WaitHealthy(); err != nil {
		t.Fatal(err)
	}
	return s
}

// sentinelCommand also writes the file in which a sentinel keeps what it learns.
func sentinelCommand(dir string, addr netip.AddrPort, masterHost, masterPort string) ([]string, error) {
	config := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf(`bind %s
port %d
dir %s
protected-mode no
sentinel monitor %[4]s %s %s 2
sentinel down-after-milliseconds %[4]s %[7]d
sentinel failover-timeout %[4]s %[8]d
sentinel parallel-syncs %[4]s 2
`, addr.Addr(), addr.Port(), dir, sentinelName, masterHost, masterPort,
		sentinelDownAfter.Milliseconds(), sentinelFailover.Milliseconds())
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return []string{redisPath(), config, "--sentinel"}, nil
}

// Client is a client of whoever is the master, with go-redis's own defaults, but
// one that minds the deadline of a context. It is closed when the test ends.
func (s *Sentinel) Client(t testing.TB) *redis.Client {
	t.Helper()
	c := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName:            s.Name,
		SentinelAddrs:         s.Sentinels,
		ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { c.Close() })
	return c
}

// MasterAddr is the master's address, in the words of the first sentinel.
func (s *Sentinel) MasterAddr() (string, error) { return s.masterBy(s.sentinels[0]) }

func (s *Sentinel) masterBy(sentinel *Redis) (string, error) {
	answer, err := sentinel.do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", s.Name)
	if err != nil {
		return "", err
	}
	if pair, _ := answer.([]any); len(pair) == 2 {
		return net.JoinHostPort(fmt.Sprint(pair[0]), fmt.Sprint(pair[1])), nil
	}
	return "", fmt.Errorf("a sentinel answers %v for the master", answer)
}

// Master is the server at MasterAddr.
func (s *Sentinel) Master() (*Redis, error) {
	addr, err := s.MasterAddr()
	if err != nil {
		return nil, err
	}
	for _, r := range s.Nodes {
		if r.Addr == addr {
			return r, nil
		}
	}
	return nil, fmt.Errorf("the master %s is none of ours", addr)
}

// KillMaster ends the master with SIGKILL. It is returned for Restart, after
// which the sentinels make a replica of it.
func (s *Sentinel) KillMaster() (*Redis, error) {
	r, err := s.Master()
	if err != nil {
		return nil, err
	}
	return r, r.Kill9()
}

// Failover makes the sentinels change masters although nothing is wrong, and
// returns the old one. The change itself comes later: see WaitFailover.
func (s *Sentinel) Failover() (old *Redis, err error) {
	// A server that came back empty may be promoted before it is made to follow.
	if err := s.WaitHealthy(); err != nil {
		return nil, err
	}
	if old, err = s.Master(); err != nil {
		return nil, err
	}
	// Refused while no replica has been heard of lately.
	return old, eventually(failoverWithin, func() error {
		_, err := s.sentinels[0].do("SENTINEL", "FAILOVER", s.Name)
		return err
	})
}
