package lab

import (
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestCluster(t *testing.T) {
	t.Parallel()
	c := StartCluster(t)
	client := c.Client(t)
	const keys = 300
	for i := range keys {
		// All in one slot, which is to be moved.
		if err := client.Set(soon(t), fmt.Sprintf("{tag}%d", i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	from, err := c.MasterFor("{tag}0")
	if err != nil {
		t.Fatal(err)
	}
	slot, err := c.Slot("{tag}0")
	if err != nil {
		t.Fatal(err)
	}
	masters, err := c.Masters()
	if err != nil || len(masters) != clusterMasters {
		t.Fatalf("the masters are %v, %v", masters, err)
	}
	to := 0
	if masters[to] == from {
		to = 1
	}
	stop := countUp(t, client, "{tag}counter")
	if err := c.MoveSlots(masters[to], slot, slot+1); err != nil {
		t.Fatal(err)
	}
	counted := stop()
	if got, err := client.Get(soon(t), "{tag}counter").Int(); err != nil || got != counted || counted == 0 {
		t.Errorf("counted to %d during the move, and the key says %d, %v", counted, got, err)
	}
	if now, err := c.MasterFor("{tag}0"); err != nil || now != masters[to] {
		t.Errorf("slot %d belongs to %v, %v", slot, now, err)
	}
	checkKeys := func(when string) {
		t.Helper()
		for i := range keys {
			if got, err := client.Get(soon(t), fmt.Sprintf("{tag}%d", i)).Int(); err != nil || got != i {
				t.Fatalf("%s, key %d is %d, %v", when, i, got, err)
			}
		}
	}
	checkKeys("after the move")
	if n, err := masters[to].do("WAIT", 1, 5000); err != nil || n != int64(1) {
		t.Fatalf("%v replicas have the keys, %v", n, err)
	}
	killed, err := c.KillMaster(to)
	if err != nil || killed != masters[to] {
		t.Fatalf("killed %v, %v", killed, err)
	}
	if err := c.WaitHealthy(); err != nil {
		t.Fatal(err)
	}
	if now, err := c.MasterFor("{tag}0"); err != nil || now == killed || !now.running() {
		t.Errorf("after the kill slot %d belongs to %v, %v", slot, now, err)
	}
	// The client hears of the new master a moment later.
	if err := eventually(failoverWithin, func() error {
		return client.Get(soon(t), "{tag}0").Err()
	}); err != nil {
		t.Error(err)
	}
	checkKeys("after the kill")
	if err := killed.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitHealthy(); err != nil {
		t.Fatal(err)
	}
	if role, err := killed.info("replication", "role"); err != nil || role != "slave" {
		t.Errorf("the master that came back is a %q, %v", role, err)
	}
}

// countUp increments a key until stop, which returns how often it did.
func countUp(t *testing.T, client *redis.ClusterClient, key string) (stop func() int) {
	ctx, done, n := soon(t), make(chan struct{}), 0
	var counter sync.WaitGroup
	counter.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := client.Incr(ctx, key).Err(); err != nil {
				t.Errorf("counting: %v", err)
				return
			}
			n++
		}
	})
	return func() int {
		close(done)
		counter.Wait()
		return n
	}
}

func TestParseClusterNodes(t *testing.T) {
	const text = `07c3 127.0.0.1:30004@31004,host4 slave e7d1 0 1426238317239 4 connected
e7d1 127.0.0.1:30001@31001 myself,master - 0 0 1 connected 5461-10922 1 [93->-292f]
292f :0@0 master,noaddr - 1426238316232 0 2 disconnected
`
	got, err := parseClusterNodes(text)
	want := []clusterNode{
		{"07c3", "127.0.0.1:30004", []string{"slave"}, nil},
		{"e7d1", "127.0.0.1:30001", []string{"myself", "master"}, [][2]int{{5461, 10922}, {1, 1}}},
		{"292f", ":0", []string{"master", "noaddr"}, nil},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parseClusterNodes = %v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{"short line\n", "07c3 a:1@2 master - 0 0 1 connected x-y\n"} {
		if _, err := parseClusterNodes(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
