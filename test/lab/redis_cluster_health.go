package lab

import (
	"errors"
	"fmt"
	"slices"
)

// WaitHealthy waits until all nodes that run, neither ended nor frozen, think
// alike: they reach one another, they alone own all slots, and all others are
// replicas that have copied their masters. Whoever killed a master waits for
// its replacement with it.
func (c *Cluster) WaitHealthy() error {
	if err := eventually(failoverWithin, c.healthy); err != nil {
		return fmt.Errorf("the cluster did not become healthy within %v: %w", failoverWithin, err)
	}
	return nil
}

func (c *Cluster) healthy() error {
	var living []*Redis
	for _, r := range c.Nodes {
		if r.running() {
			living = append(living, r)
		}
	}
	if len(living) == 0 {
		return errors.New("no node runs")
	}
	first := ""
	for _, r := range living {
		nodes, err := r.clusterNodes()
		if err != nil {
			return err
		}
		if err := sound(nodes, living); err != nil {
			return fmt.Errorf("%s: %w", r.Addr, err)
		}
		view := ""
		for _, n := range owners(nodes) {
			view += fmt.Sprintln(n.addr, n.slots)
		}
		if first == "" {
			first = view
		}
		if view != first {
			return fmt.Errorf("the nodes do not agree on the slots:\n%s%s", first, view)
		}
		if err := r.inService(); err != nil {
			return fmt.Errorf("%s: %w", r.Addr, err)
		}
	}
	return nil
}

// sound checks one node's view: the living are reached, and own all slots.
func sound(nodes []clusterNode, living []*Redis) error {
	slots, reached := 0, 0
	for _, n := range nodes {
		alive := slices.ContainsFunc(living, func(r *Redis) bool { return r.Addr == n.addr })
		for _, s := range n.slots {
			slots += s[1] - s[0] + 1
		}
		switch {
		case !alive && len(n.slots) > 0:
			return fmt.Errorf("%s is down and not replaced", n.addr)
		case !alive:
		case slices.ContainsFunc(n.flags, func(f string) bool {
			return f == "fail" || f == "fail?" || f == "handshake" || f == "noaddr"
		}):
			return fmt.Errorf("%s is %v", n.addr, n.flags)
		case len(n.slots) == 0 && !slices.Contains(n.flags, "slave"):
			return fmt.Errorf("%s is neither owner nor replica", n.addr)
		default:
			reached++
		}
	}
	if slots != clusterSlots || reached != len(living) {
		return fmt.Errorf("%d of %d slots are served by %d of %d nodes", slots, clusterSlots, reached, len(living))
	}
	return nil
}

// inService asks a node about itself.
func (r *Redis) inService() error {
	answer, err := r.do("CLUSTER", "INFO")
	if err != nil {
		return err
	}
	text, _ := answer.(string)
	if state := infoField(text, "cluster_state"); state != "ok" {
		return fmt.Errorf("the cluster's state is %q", state)
	}
	if answer, err = r.do("INFO", "replication"); err != nil {
		return err
	}
	text, _ = answer.(string)
	if role, link := infoField(text, "role"), infoField(text, "master_link_status"); role == "slave" && link != "up" {
		return fmt.Errorf("a replica whose link to its master is %q", link)
	}
	return nil
}
