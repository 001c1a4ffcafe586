package lab

import (
	"slices"
	"testing"
)

func TestSentinel(t *testing.T) {
	t.Parallel()
	s := StartSentinel(t)
	client := s.Client(t)
	if err := client.Set(soon(t), "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	// The replicas may not have it yet, and one of them is to be the master.
	if n, err := s.Nodes[0].do("WAIT", 2, 5000); err != nil {
		t.Fatal(n, err)
	}
	first, err := s.KillMaster()
	if err != nil || first != s.Nodes[0] {
		t.Fatalf("killed %v, %v; want the first node", first, err)
	}
	second, err := s.WaitFailover(first)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := client.Get(soon(t), "key").Result(); got != "value" {
		t.Errorf("the new master says %q, %v", got, err)
	}
	if err := first.Restart(); err != nil {
		t.Fatal(err)
	}
	old, err := s.Failover()
	if err != nil {
		t.Fatal(err)
	}
	third, err := s.WaitFailover(old)
	if err != nil {
		t.Fatal(err)
	}
	if second == first || third == old || !slices.Contains(s.Nodes, third) {
		t.Errorf("the masters were %s, %s, %s and %s", first.Addr, second.Addr, old.Addr, third.Addr)
	}
	if err := client.Set(soon(t), "key", "again", 0).Err(); err != nil {
		t.Errorf("writing to the third master: %v", err)
	}
}
