// Package enrich says where an address is from: country, city and autonomous system
// by files in MaxMind's format, and the holder of its network and whom to write to
// about abuse by RDAP (RFC 9082, 9083), the successor of whois.
//
// It is for people who read messages and tables, and no part of any login's way.
// Whatever fails here leaves its fields empty: a file that is wrong is said once and
// gone without, a server that does not answer is waited for until the deadline. All
// that others have written into it is bounded and printable.
package enrich

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// Info is what is known of an address. Its fields are printable and bounded; what is
// not known is empty.
type Info struct {
	Country      string `json:"country,omitempty"`      // ISO 3166-1, two letters
	City         string `json:"city,omitempty"`         // in English
	ASN          uint32 `json:"asn,omitempty"`          // the autonomous system's number
	Organisation string `json:"organisation,omitempty"` // who runs it
	Network      string `json:"network,omitempty"`      // the registered network's name
	Abuse        string `json:"abuse,omitempty"`        // whom to write to
}

// String is the information in one line; "" where nothing is known.
func (i Info) String() string {
	var parts []string
	for _, p := range []string{i.Country, i.City, i.as(), i.Network, i.Abuse} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ", ")
}

func (i Info) as() string {
	if i.ASN == 0 {
		return i.Organisation
	}
	return strings.TrimSpace("AS" + strconv.FormatUint(uint64(i.ASN), 10) + " " + i.Organisation)
}

// Options are what an Enricher is made of. Logger is required.
type Options struct {
	Logger     *zap.Logger
	Registerer prometheus.Registerer // nil: not measured
	Now        func() time.Time      // nil: time.Now
}

// Enricher looks addresses up. Its methods may be called by many goroutines at once.
type Enricher struct {
	log     *zap.Logger
	metrics *metrics
	now     func() time.Time
	every   time.Duration // between looks at the files
	state   atomic.Pointer[state]
}

// state is a configuration in use.
type state struct {
	databases []*database
	whois     *whois // nil: nobody is asked
}

// refreshEvery is how often files are looked at for whether they were replaced.
const refreshEvery = time.Minute

// New returns an enricher of a configuration that has passed Check. Files that cannot
// be read are logged; Run tries them again.
func New(c Config, o Options) (*Enricher, error) {
	if o.Logger == nil {
		return nil, errors.New("enrich: a logger is required")
	}
	e := &Enricher{log: o.Logger, now: o.Now, every: refreshEvery}
	if e.now == nil {
		e.now = time.Now
	}
	var err error
	if e.metrics, err = newMetrics(o.Registerer, e); err != nil {
		return nil, err
	}
	e.Reload(c)
	return e, nil
}

// Reload takes over another configuration. What was asked before is asked anew.
func (e *Enricher) Reload(c Config) {
	next := &state{}
	old := e.state.Load()
	for _, path := range c.Databases {
		d := &database{path: path}
		if old != nil {
			for _, known := range old.databases {
				if known.path == path {
					d = known
				}
			}
		}
		next.databases = append(next.databases, d)
	}
	if c.Whois.Enabled {
		next.whois = newWhois(c.Whois, e.now, e.metrics)
	}
	e.refresh(next)
	e.state.Store(next)
}

// Run looks again and again whether files were replaced, until ctx ends.
func (e *Enricher) Run(ctx context.Context) {
	tick := time.NewTicker(e.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			e.refresh(e.state.Load())
		case <-ctx.Done():
			return
		}
	}
}

// refresh reads the files that have changed. Of one that has become wrong the old
// content stays in use.
func (e *Enricher) refresh(s *state) {
	for _, d := range s.databases {
		changed, err := d.refresh()
		switch {
		case err != nil:
			e.metrics.failed.Inc()
			e.log.Error("a database of addresses cannot be used; what it said before, if anything, goes on",
				zap.String("file", d.path), zap.Error(err))
		case changed:
			kind, built := d.about()
			e.log.Info("a database of addresses was read", zap.String("file", d.path), zap.String("type", kind), zap.Time("built", built))
		}
	}
}

// Lookup returns what is known of an address. It reads the files, and where whois is
// enabled asks for what it does not know yet, until ctx or the configured time ends.
func (e *Enricher) Lookup(ctx context.Context, a netip.Addr) Info {
	i, more := e.known(a)
	if more {
		i.add(e.state.Load().whoisOf(ctx, a.Unmap().WithZone("")))
	}
	return i
}

// whoisOf asks the registry, if any is asked.
func (s *state) whoisOf(ctx context.Context, a netip.Addr) holder {
	if s.whois == nil { // a reload has switched it off meanwhile
		return holder{}
	}
	return s.whois.lookup(ctx, a)
}

// add adds what a registry says.
func (i *Info) add(h holder) {
	i.Network, i.Abuse = h.network, h.abuse
	if i.Country == "" {
		i.Country = h.country
	}
}

// Known returns what is known of an address without asking anybody: for lists.
func (e *Enricher) Known(a netip.Addr) Info {
	i, _ := e.known(a)
	return i
}

// known reads the files and the answers that are kept, and tells whether a registry
// could say more.
func (e *Enricher) known(a netip.Addr) (i Info, more bool) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return i, false
	}
	s := e.state.Load()
	for _, d := range s.databases {
		if err := d.lookup(a, &i); err != nil {
			e.metrics.failed.Inc()
		}
	}
	if s.whois == nil || !public(a) {
		return i, false
	}
	h, ok := s.whois.cache.get(subject(a), e.now())
	if ok {
		e.metrics.asked(resultCached)
		i.add(h)
	}
	return i, !ok
}

// Describe is Lookup in one line.
func (e *Enricher) Describe(ctx context.Context, a netip.Addr) string {
	return e.Lookup(ctx, a).String()
}

// public tells whether an address is registered to anybody.
func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10).Contains(a)
}
