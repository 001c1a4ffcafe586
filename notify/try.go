package notify

import (
	"context"
	"sync"
	"time"
)

// Result is what a receiver answered to a test.
type Result struct {
	Target  string        `json:"target"` // where it stands in the configuration, and what it is
	OK      bool          `json:"ok"`
	Error   string        `json:"error,omitempty"` // holds no secret
	Elapsed time.Duration `json:"-"`
}

// Try sends a test message to every receiver of a configuration that has passed
// Check, once, and returns what each answered. An error is that of a file which the
// configuration names.
func Try(ctx context.Context, c Config, host string) ([]Result, error) {
	s, err := c.prepare()
	if err != nil {
		return nil, err
	}
	n := &Notifier{host: host, now: time.Now}
	m := n.compose(ctx, parcel{settings: s, digest: digest{news: []News{{
		Kind: Test, At: time.Now(), Title: "a test of the notifications",
		Why: "somebody ran saslguard notify test", Do: "There is nothing to do: it works.",
	}}}})
	results := make([]Result, len(s.targets))
	var all sync.WaitGroup
	for i, t := range s.targets {
		all.Go(func() {
			began := time.Now()
			err := attempt(ctx, t, m)
			results[i] = Result{Target: t.name(), OK: err == nil, Elapsed: time.Since(began)}
			if err != nil {
				results[i].Error = err.Error()
			}
		})
	}
	all.Wait()
	return results, nil
}
