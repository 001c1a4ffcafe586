// Package hotpath are the inner parts of saslguard through which every attempt goes,
// each ready to be done over and over: by Go's benchmarks, and by the check that
// compares what they allocate with bounds that are recorded.
//
// Allocations are counted and not time: they are the same on every machine, and what
// allocates more has almost always become slower.
package hotpath

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime"
)

// Case is an inner part.
type Case struct {
	Name string
	// Open makes it ready.
	Open func() (*Path, error)
}

// Path is an inner part that is ready.
type Path struct {
	Do func() error
	// Settle, if there is one, waits until what was done is done in the background too.
	Settle func() error
	// Close gives back what it needed.
	Close func() error
}

// Cost is what doing it once allocates, on average.
type Cost struct {
	Allocations float64 `json:"allocations"`
	Bytes       float64 `json:"bytes"`
}

const (
	warmUp = clients + 300 // so that what is made for a client who is new is there
	times  = 1500
	tries  = 3
)

// Measure does a part many times. Others may allocate meanwhile: the least of a few
// tries counts.
func (c *Case) Measure() (least Cost, err error) {
	p, err := c.Open()
	if err != nil {
		return least, fmt.Errorf("%s: %w", c.Name, err)
	}
	defer func() {
		if closed := p.Close(); err == nil {
			err = closed
		}
	}()
	if err := p.repeat(warmUp); err != nil {
		return least, fmt.Errorf("%s: %w", c.Name, err)
	}
	least = Cost{math.Inf(1), math.Inf(1)}
	for range tries {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := p.repeat(times); err != nil {
			return least, fmt.Errorf("%s: %w", c.Name, err)
		}
		runtime.ReadMemStats(&after)
		least.Allocations = min(least.Allocations, float64(after.Mallocs-before.Mallocs)/times)
		least.Bytes = min(least.Bytes, float64(after.TotalAlloc-before.TotalAlloc)/times)
	}
	return least, nil
}

func (p *Path) repeat(n int) error {
	for range n {
		if err := p.Do(); err != nil {
			return err
		}
	}
	if p.Settle == nil {
		return nil
	}
	return p.Settle()
}

//go:embed bounds.json
var recorded []byte

// Bounds are the recorded costs, by the names of the parts.
func Bounds() (map[string]Cost, error) {
	var bounds map[string]Cost
	if err := json.Unmarshal(recorded, &bounds); err != nil {
		return nil, fmt.Errorf("bounds.json: %w", err)
	}
	return bounds, nil
}

// Record writes costs as bounds, below the root of the source.
func Record(costs map[string]Cost) error {
	for name, c := range costs {
		costs[name] = Cost{math.Round(10*c.Allocations) / 10, math.Ceil(c.Bytes)}
	}
	text, err := json.MarshalIndent(costs, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile("test/bench/hotpath/bounds.json", append(text, '\n'), 0o644)
}

// Limit is how much a bound lets a part allocate: less than one allocation more, and
// a tenth more bytes.
func (c Cost) Limit() Cost { return Cost{c.Allocations + 0.7, 1.1*c.Bytes + 16} }
