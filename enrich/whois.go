package enrich

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/openrdap/rdap"
	"github.com/openrdap/rdap/bootstrap"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
)

// whois asks the registries whose address it is, by RDAP. Nobody is asked twice for
// the same within a while, nor oftener than a registry puts up with.
type whois struct {
	timeout time.Duration
	client  *rdap.Client
	turn    chan struct{} // the client is not made for several at once
	limit   *rate.Limiter
	cache   cache
	flights singleflight.Group
	now     func() time.Time
	metrics *metrics
}

// holder is what a registry says of a network.
type holder struct {
	network, abuse, country string
}

// failedFor is how long a failure is remembered.
const failedFor = 10 * time.Minute

var errBusy = errors.New("too many questions")

func newWhois(c WhoisConfig, now func() time.Time, m *metrics) *whois {
	base, _ := url.Parse(c.Bootstrap) // Check has parsed it
	w := &whois{
		timeout: c.Timeout, turn: make(chan struct{}, 1), now: now, metrics: m,
		limit: rate.NewLimiter(rate.Limit(float64(c.PerMinute)/60), max(1, min(c.PerMinute, 10))),
		cache: cache{size: c.Cache, life: c.CacheFor},
	}
	client := newClient(base)
	w.client = &rdap.Client{HTTP: client, UserAgent: "saslguard", Bootstrap: &bootstrap.Client{HTTP: client, BaseURL: base}}
	return w
}

// lookup asks, and returns what is answered before ctx ends; many who ask for the same
// at once are one question. An answer that
// comes later is there for the next who asks.
func (w *whois) lookup(ctx context.Context, a netip.Addr) holder {
	key := subject(a)
	done := w.flights.DoChan(key.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), w.timeout)
		defer cancel()
		if h, ok := w.cache.get(key, w.now()); ok { // an earlier question was answered just now
			return h, nil
		}
		h, err := w.ask(ctx, key)
		switch {
		case errors.Is(err, errBusy):
			w.metrics.asked(resultLimited)
			return h, nil // not remembered: it has not been asked
		case err != nil:
			w.metrics.asked(resultFailed)
			w.cache.put(key, h, w.now(), failedFor)
		default:
			w.metrics.asked(resultAnswered)
			w.cache.put(key, h, w.now(), w.cache.life)
		}
		return h, nil
	})
	select {
	case r := <-done:
		h, _ := r.Val.(holder)
		return h
	case <-ctx.Done():
		return holder{}
	}
}

// subject is what is asked for: an address, or the /64 that one host may use up.
func subject(a netip.Addr) netip.Addr {
	if a.Is6() {
		p, _ := a.Prefix(64)
		return p.Addr()
	}
	return a
}

// ask asks the registry. What comes back is from strangers, and the library that
// reads it is kept from taking the process with it.
func (w *whois) ask(ctx context.Context, a netip.Addr) (h holder, err error) {
	if !w.limit.Allow() {
		return h, errBusy
	}
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return h, ctx.Err()
	}
	defer func() {
		if p := recover(); p != nil {
			h, err = holder{}, fmt.Errorf("the answer cannot be read: %v", p)
		}
	}()
	res, err := w.client.Do(rdap.NewRequest(rdap.IPRequest, a.String()).WithContext(ctx))
	if err != nil {
		return h, err
	}
	n, ok := res.Object.(*rdap.IPNetwork)
	if !ok {
		return h, errors.New("the answer is about no network")
	}
	h.network, h.country = clean(n.Name), country(n.Country)
	h.abuse = abuseContact(n.Entities, 3)
	return h, nil
}

// abuseContact finds whom to write to among entities, and those within them.
func abuseContact(all []rdap.Entity, depth int) string {
	const most = 50
	all = all[:min(len(all), most)]
	for _, e := range all {
		if !slices.Contains(e.Roles, "abuse") || e.VCard == nil {
			continue
		}
		if m := mailAddress(e.VCard.Email()); m != "" {
			return m
		}
	}
	if depth == 0 {
		return ""
	}
	for _, e := range all {
		if m := abuseContact(e.Entities, depth-1); m != "" {
			return m
		}
	}
	return ""
}
