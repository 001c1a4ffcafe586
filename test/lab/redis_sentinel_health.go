package lab

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// WaitFailover waits until all is well under another master than the old.
func (s *Sentinel) WaitFailover(old *Redis) (*Redis, error) {
	var master *Redis
	err := eventually(failoverWithin, func() error {
		var err error
		if master, err = s.Master(); err != nil {
			return err
		}
		if master == old {
			return fmt.Errorf("%s is still the master", old.Addr)
		}
		return s.healthy()
	})
	if err != nil {
		return nil, fmt.Errorf("no other master within %v: %w", failoverWithin, err)
	}
	return master, nil
}

// WaitHealthy waits until all sentinels name one master, and all other servers
// that run, neither ended nor frozen, have copied it.
func (s *Sentinel) WaitHealthy() error {
	if err := eventually(failoverWithin, s.healthy); err != nil {
		return fmt.Errorf("master, replicas and sentinels did not get together within %v: %w", failoverWithin, err)
	}
	return nil
}

func (s *Sentinel) healthy() error {
	master, err := s.Master()
	if err != nil {
		return err
	}
	for _, r := range s.sentinels {
		if err := acquainted(r, master.Addr); err != nil {
			return err
		}
		if err := s.content(r); err != nil {
			return err
		}
	}
	return s.replicated(master)
}

// acquainted says whether a sentinel knows the master, the two others, and two
// replicas, dead or alive, without which it could not change masters.
func acquainted(sentinel *Redis, master string) error {
	// name=lab,status=ok,address=127.0.0.1:6379,slaves=2,sentinels=3
	line, err := sentinel.info("sentinel", "master0")
	if err != nil {
		return err
	}
	if want := fmt.Sprintf(",status=ok,address=%s,slaves=2,sentinels=3", master); !strings.HasSuffix(line, want) {
		return fmt.Errorf("the sentinel %s knows %s, not %s", sentinel.Addr, line, want)
	}
	return nil
}

// content says whether a sentinel thinks well of the replicas that run. One that
// still takes a replica for a master would demote it, in the midst of another
// sentinel's failover to that replica.
func (s *Sentinel) content(sentinel *Redis) error {
	answer, err := sentinel.do("SENTINEL", "REPLICAS", s.Name)
	if err != nil {
		return err
	}
	replicas, _ := answer.([]any)
	for _, replica := range replicas {
		f := map[string]string{}
		pairs, _ := replica.([]any)
		for pair := range slices.Chunk(pairs, 2) {
			f[fmt.Sprint(pair[0])] = fmt.Sprint(pair[len(pair)-1])
		}
		runs := slices.ContainsFunc(s.Nodes, func(r *Redis) bool { return r.Addr == f["name"] && r.running() })
		if runs && (f["flags"] != "slave" || f["role-reported"] != "slave") {
			return fmt.Errorf("to the sentinel %s %s is %s and reports %s", sentinel.Addr, f["name"], f["flags"], f["role-reported"])
		}
	}
	return nil
}

// replicated says whether all living servers hang on the master.
func (s *Sentinel) replicated(master *Redis) error {
	if role, err := master.info("replication", "role"); err != nil || role != "master" {
		return fmt.Errorf("%s is a %q (%v)", master.Addr, role, err)
	}
	_, port, _ := net.SplitHostPort(master.Addr)
	for _, r := range s.Nodes {
		if r == master || !r.running() {
			continue
		}
		answer, err := r.do("INFO", "replication")
		if err != nil {
			return err
		}
		text, _ := answer.(string)
		if infoField(text, "master_port") != port || infoField(text, "master_link_status") != "up" {
			return fmt.Errorf("%s does not follow %s", r.Addr, master.Addr)
		}
	}
	return nil
}
