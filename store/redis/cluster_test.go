package redis

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// startCluster starts a cluster of three masters and as many replicas as are
// wanted, and returns the masters first.
func startCluster(t testing.TB, replicas int) []*server {
	t.Helper()
	const masters = 3
	nodes := make([]*server, masters+replicas)
	for i := range nodes {
		nodes[i] = startServer(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--appendonly", "no")
	}
	for i, n := range nodes {
		if i < masters {
			n.do("CLUSTER", "ADDSLOTSRANGE", i*16384/masters, (i+1)*16384/masters-1)
		}
		n.do("CLUSTER", "SET-CONFIG-EPOCH", i+1)
	}
	for _, n := range nodes[1:] {
		host, port, _ := net.SplitHostPort(n.addr)
		nodes[0].do("CLUSTER", "MEET", host, port)
	}
	complete := func() {
		t.Helper()
		for _, n := range nodes {
			eventually(t, "the cluster is complete", func() bool {
				info := n.do("CLUSTER", "INFO").(string)
				return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", len(nodes)))
			})
		}
	}
	complete()
	for i, n := range nodes[masters:] {
		n.do("CLUSTER", "REPLICATE", nodes[i%masters].do("CLUSTER", "MYID").(string))
	}
	for _, n := range nodes[masters:] {
		eventually(t, "the replica has copied its master", func() bool {
			return strings.Contains(n.do("INFO", "replication").(string), "master_link_status:up")
		})
	}
	complete()
	return nodes
}

// clusterConfig is the configuration of a store over a cluster.
func clusterConfig(nodes []*server) Config {
	cfg := testConfig("")
	cfg.Addresses, cfg.Cluster = nil, true
	for _, n := range nodes {
		cfg.Addresses = append(cfg.Addresses, n.addr)
	}
	return cfg
}

// openStore opens a store over a client of its own; several over one server are
// several hosts.
func openStore(t testing.TB, cfg Config, opts Options) *Store {
	t.Helper()
	client, err := Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return openOver(t, client, cfg, opts)
}

// openOver opens a store over a client.
func openOver(t testing.TB, client goredis.UniversalClient, cfg Config, opts Options) *Store {
	t.Helper()
	s, err := New(client, cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}
