package main

import (
	"context"
	"fmt"

	"github.com/saslguard/saslguard/test/bench/hotpath"
)

// hotpath is what the inner parts allocate, beside the bounds that are recorded.
func (b *bench) hotpath(ctx context.Context) error {
	bounds, err := hotpath.Bounds()
	if err != nil {
		return err
	}
	costs := map[string]hotpath.Cost{}
	for _, c := range hotpath.Cases() {
		if err := ctx.Err(); err != nil {
			return err
		}
		cost, err := c.Measure()
		if err != nil {
			return err
		}
		costs[c.Name] = cost
		bound, known := bounds[c.Name]
		if !known && !b.record {
			return fmt.Errorf("no bound is recorded for %q; go run ./test/bench --parts hotpath --record", c.Name)
		}
		limit := bound.Limit()
		b.add(figure{part: "hotpath", what: c.Name + ", allocations", unit: number, ours: series{cost.Allocations},
			beside: "recorded", baseline: series{bound.Allocations}, target: atMost(limit.Allocations)})
		b.add(figure{part: "hotpath", what: c.Name + ", allocated", unit: octets, ours: series{cost.Bytes},
			beside: "recorded", baseline: series{bound.Bytes}, target: atMost(limit.Bytes)})
	}
	if b.record {
		return hotpath.Record(costs)
	}
	return nil
}
