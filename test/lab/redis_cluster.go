package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	clusterSlots   = 16384
	clusterMasters = 3
	// clusterNodeTimeout is after what silence a master is replaced.
	clusterNodeTimeout = time.Second
)

// Cluster is a Redis Cluster of three masters with one replica each.
type Cluster struct {
	Addrs []string
	Nodes []*Redis // the first three were the first masters
}

// StartCluster runs a cluster until the test ends, with args added to the
// command line of all its nodes. When it returns, the cluster is healthy.
func StartCluster(t testing.TB, args ...string) *Cluster {
	t.Helper()
	Require(t, NeedRedis)
	c := &Cluster{}
	var buses []string
	for range 2 * clusterMasters {
		var bus string
		r := startRedis(t, "Cluster node", 2, func(dir string, addrs []netip.AddrPort) ([]string, error) {
			bus = strconv.Itoa(int(addrs[1].Port()))
			return redisCommand(dir, addrs[0], RedisOptions{Args: append([]string{
				"--cluster-enabled", "yes",
				"--cluster-port", bus,
				"--cluster-announce-ip", "127.0.0.1",
				"--cluster-node-timeout", strconv.FormatInt(clusterNodeTimeout.Milliseconds(), 10),
				// However long the machine was busy, a replica may take over.
				"--cluster-replica-validity-factor", "0",
			}, args...)}), nil
		})
		c.Nodes = append(c.Nodes, r)
		c.Addrs = append(c.Addrs, r.Addr)
		buses = append(buses, bus)
	}
	if err := c.form(buses); err != nil {
		t.Fatalf("forming the cluster: %v", err)
	}
	return c
}

// form makes a cluster of the nodes, in the order of redis-cli --cluster create.
func (c *Cluster) form(buses []string) error {
	for i, r := range c.Nodes[:clusterMasters] {
		first, next := i*clusterSlots/clusterMasters, (i+1)*clusterSlots/clusterMasters
		if err := r.doAll(
			[]any{"CLUSTER", "ADDSLOTSRANGE", first, next - 1},
			// Different from the start, or the masters argue about it later.
			[]any{"CLUSTER", "SET-CONFIG-EPOCH", i + 1},
		); err != nil {
			return err
		}
	}
	// Each meets each, which is quicker than hearsay.
	for i, r := range c.Nodes {
		for j, other := range c.Nodes[:i] {
			host, port, err := net.SplitHostPort(other.Addr)
			if err != nil {
				return err
			}
			if _, err := r.do("CLUSTER", "MEET", host, port, buses[j]); err != nil {
				return err
			}
		}
	}
	for i, r := range c.Nodes[clusterMasters:] {
		master, err := c.Nodes[i].do("CLUSTER", "MYID")
		if err != nil {
			return err
		}
		// Refused until the two have met.
		if err := eventually(failoverWithin, func() error {
			_, err := r.do("CLUSTER", "REPLICATE", master)
			return err
		}); err != nil {
			return err
		}
	}
	return c.WaitHealthy()
}

// Client is a cluster client that minds the deadline of a context and looks for
// new masters every second; otherwise it has go-redis's own defaults, with which
// it would go on to dial a dead master for a minute. It is closed when the test
// ends.
func (c *Cluster) Client(t testing.TB) *redis.ClusterClient {
	t.Helper()
	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:                      c.Addrs,
		ContextTimeoutEnabled:      true,
		ClusterStateReloadInterval: time.Second,
		MaintNotificationsConfig:   withoutMaintenance(),
	})
	t.Cleanup(func() { client.Close() })
	return client
}

// Masters are the servers that own slots, in the order of their first slots.
func (c *Cluster) Masters() ([]*Redis, error) {
	nodes, err := c.view()
	if err != nil {
		return nil, err
	}
	var masters []*Redis
	for _, n := range owners(nodes) {
		r, err := c.node(n.addr)
		if err != nil {
			return nil, err
		}
		masters = append(masters, r)
	}
	return masters, nil
}

// MasterFor is the server that owns the slot of a key.
func (c *Cluster) MasterFor(key string) (*Redis, error) {
	slot, err := c.Slot(key)
	if err != nil {
		return nil, err
	}
	nodes, err := c.view()
	if err != nil {
		return nil, err
	}
	owner, err := ownerOf(nodes, slot)
	if err != nil {
		return nil, err
	}
	return c.node(owner.addr)
}

// KillMaster ends the i-th of Masters with SIGKILL. It is returned for Restart,
// after which it is a replica, if the cluster had replaced it.
func (c *Cluster) KillMaster(i int) (*Redis, error) {
	masters, err := c.Masters()
	if err != nil {
		return nil, err
	}
	if i >= len(masters) {
		return nil, fmt.Errorf("there are %d masters and no number %d", len(masters), i)
	}
	return masters[i], masters[i].Kill9()
}

// Slot is the number of a key's slot.
func (c *Cluster) Slot(key string) (int, error) {
	r, err := c.living()
	if err != nil {
		return 0, err
	}
	answer, err := r.do("CLUSTER", "KEYSLOT", key)
	if err != nil {
		return 0, err
	}
	slot, ok := answer.(int64)
	if !ok {
		return 0, fmt.Errorf("CLUSTER KEYSLOT answers %v", answer)
	}
	return int(slot), nil
}

// living is the first server that can answer.
func (c *Cluster) living() (*Redis, error) {
	for _, r := range c.Nodes {
		if r.running() {
			return r, nil
		}
	}
	return nil, errors.New("no node of the cluster runs")
}

func (c *Cluster) node(addr string) (*Redis, error) {
	for _, r := range c.Nodes {
		if r.Addr == addr {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%s is no node of the cluster", addr)
}
