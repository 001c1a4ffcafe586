package lab

import (
	"fmt"
	"net"
)

// MoveSlots gives slots and the keys in them to another master, while clients
// go on. It returns when all nodes know.
func (c *Cluster) MoveSlots(to *Redis, slots ...int) error {
	nodes, err := to.clusterNodes()
	if err != nil {
		return err
	}
	for _, slot := range slots {
		owner, err := ownerOf(nodes, slot)
		if err != nil {
			return err
		}
		from, err := c.node(owner.addr)
		if err != nil {
			return err
		}
		if from == to {
			continue
		}
		if err := c.moveSlot(slot, from, to, owner.id); err != nil {
			return fmt.Errorf("moving slot %d from %s to %s: %w", slot, from.Addr, to.Addr, err)
		}
	}
	return c.WaitHealthy()
}

// moveSlot follows https://redis.io/docs/latest/commands/cluster-setslot/.
func (c *Cluster) moveSlot(slot int, from, to *Redis, fromID string) error {
	toID, err := to.do("CLUSTER", "MYID")
	if err != nil {
		return err
	}
	// The receiver first: a client that is sent to it must be let in.
	if _, err := to.do("CLUSTER", "SETSLOT", slot, "IMPORTING", fromID); err != nil {
		return err
	}
	if _, err := from.do("CLUSTER", "SETSLOT", slot, "MIGRATING", toID); err != nil {
		return err
	}
	if err := moveKeys(slot, from, to); err != nil {
		return err
	}
	// The receiver first again: were the giver first and then died, nobody
	// would own the slot. The others hear of it by themselves.
	for _, r := range []*Redis{to, from} {
		if _, err := r.do("CLUSTER", "SETSLOT", slot, "NODE", toID); err != nil {
			return err
		}
	}
	return nil
}

// moveKeys ends, since new keys of a migrating slot are made at the receiver.
func moveKeys(slot int, from, to *Redis) error {
	host, port, err := net.SplitHostPort(to.Addr)
	if err != nil {
		return err
	}
	const atOnce = 100
	for {
		answer, err := from.do("CLUSTER", "GETKEYSINSLOT", slot, atOnce)
		if err != nil {
			return err
		}
		keys, _ := answer.([]any)
		if len(keys) == 0 {
			return nil
		}
		migrate := []any{"MIGRATE", host, port, "", 0, commandWithin.Milliseconds(), "KEYS"}
		if _, err := from.do(append(migrate, keys...)...); err != nil {
			return err
		}
	}
}
