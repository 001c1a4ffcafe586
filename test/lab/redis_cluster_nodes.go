package lab

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// clusterNode is a line of CLUSTER NODES
// (https://redis.io/docs/latest/commands/cluster-nodes/).
type clusterNode struct {
	id, addr string
	flags    []string
	slots    [][2]int // first and last
}

// parseClusterNodes reads
//
//	id ip:port@bus[,hostname] flags master ping pong epoch link slots…
//
// Slots on their way, in brackets, are still those of their old owner.
func parseClusterNodes(text string) ([]clusterNode, error) {
	var nodes []clusterNode
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 {
			return nil, fmt.Errorf("CLUSTER NODES: %q", line)
		}
		addr, _, _ := strings.Cut(f[1], "@")
		n := clusterNode{id: f[0], addr: addr, flags: strings.Split(f[2], ",")}
		for _, slots := range f[8:] {
			if strings.HasPrefix(slots, "[") {
				continue
			}
			from, to, isRange := strings.Cut(slots, "-")
			if !isRange {
				to = from
			}
			first, err1 := strconv.Atoi(from)
			last, err2 := strconv.Atoi(to)
			if err := errors.Join(err1, err2); err != nil {
				return nil, fmt.Errorf("CLUSTER NODES: %q: %w", line, err)
			}
			n.slots = append(n.slots, [2]int{first, last})
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// owners are the nodes with slots, in the order of the slots.
func owners(nodes []clusterNode) []clusterNode {
	var all []clusterNode
	for _, n := range nodes {
		if len(n.slots) > 0 {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b clusterNode) int { return cmp.Compare(a.slots[0][0], b.slots[0][0]) })
	return all
}

func ownerOf(nodes []clusterNode, slot int) (clusterNode, error) {
	for _, n := range nodes {
		for _, s := range n.slots {
			if s[0] <= slot && slot <= s[1] {
				return n, nil
			}
		}
	}
	return clusterNode{}, fmt.Errorf("nobody owns slot %d", slot)
}

// view is the cluster as its first living node sees it.
func (c *Cluster) view() ([]clusterNode, error) {
	r, err := c.living()
	if err != nil {
		return nil, err
	}
	return r.clusterNodes()
}

func (r *Redis) clusterNodes() ([]clusterNode, error) {
	answer, err := r.do("CLUSTER", "NODES")
	if err != nil {
		return nil, err
	}
	text, _ := answer.(string)
	return parseClusterNodes(text)
}
