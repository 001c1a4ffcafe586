package replay

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/saslguard/saslguard/maillog"
	"github.com/saslguard/saslguard/maillog/logfile"
)

// Options say what is replayed, how, and what of it is reported.
type Options struct {
	Paths []string  // files, patterns, or logfile.Stdin
	Stdin io.Reader // what that stands for
	Log   maillog.Options

	Since, Until time.Time // attempts outside are left out; zero: no bound
	Sets         []RuleSet // one, or two to be compared
	Focus        Focus
	Top          int // rows of each list; 0: all

	// Progress, if set, is told now and then how many bytes of all logs were read
	// and how many there are, 0 where that is not known.
	Progress func(read, total int64)
}

// progressEvery is how often progress is told.
const progressEvery = 100 * time.Millisecond

// ErrNothing is returned together with the report when not one line was recognised.
var ErrNothing = errors.New("nothing was recognised")

// Run replays logs. It fails where a log cannot be opened, before anything is read;
// one that cannot be read to its end is in the report. With ErrNothing the report
// says what was read.
func Run(ctx context.Context, o Options) (*Report, error) {
	if len(o.Sets) < 1 || len(o.Sets) > 2 {
		return nil, errors.New("replay: one set of rules, or two, are required")
	}
	if o.Log.Location == nil {
		o.Log.Location = time.Local
	}
	logs, err := logfile.Open(o.Paths, o.Stdin, o.Log)
	if err != nil {
		return nil, err
	}
	var sims []*simulation
	for _, set := range o.Sets {
		s, err := newSimulation(set, defaultLimits(), o.Focus)
		if err != nil {
			return nil, errors.Join(append(closeAll(sims), err)...)
		}
		sims = append(sims, s)
	}
	streams, err := readAll(ctx, logs, sims, &o)
	if err != nil {
		return nil, errors.Join(append(closeAll(sims), err)...)
	}
	report := newReport(streams, sims, &o)
	if err := errors.Join(closeAll(sims)...); err != nil {
		return nil, err
	}
	if report.Read.Recognised == 0 {
		return report, ErrNothing
	}
	return report, nil
}

func closeAll(sims []*simulation) []error {
	var errs []error
	for _, s := range sims {
		if err := s.close(); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// simQueue is how many batches of attempts a simulation may be behind.
const simQueue = 8

// readAll reads all logs through all simulations.
func readAll(ctx context.Context, logs []*logfile.Log, sims []*simulation, o *Options) ([]*stream, error) {
	var streams []*stream
	for _, l := range logs {
		streams = append(streams, newStream(l, o))
	}
	if o.Progress != nil {
		defer watchProgress(logs, o.Progress)()
	}
	group, ctx := errgroup.WithContext(ctx)
	queues := make([]chan part, len(sims))
	for i, s := range sims {
		queues[i] = make(chan part, simQueue)
		group.Go(func() error { return s.prepare(ctx, queues[i]) })
		group.Go(func() error { return s.run(ctx) })
		group.Go(func() error { s.note(); return nil })
	}
	m := merger{
		waiting: slices.Clone(streams),
		start:   func(s *stream) { group.Go(func() error { s.run(ctx, o.Log); return nil }) },
		readers: len(queues),
		emit: func(p part) error {
			for _, q := range queues {
				select {
				case q <- p:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		},
	}
	group.Go(func() error {
		defer func() {
			for _, q := range queues {
				close(q)
			}
		}()
		return m.run(ctx)
	})
	return streams, group.Wait()
}

// watchProgress tells progress until it is stopped, and then once more.
func watchProgress(logs []*logfile.Log, tell func(read, total int64)) (stop func()) {
	now := func() {
		var read, total int64
		known := true
		for _, l := range logs {
			r, t := l.Progress()
			read, total, known = read+r, total+t, known && t > 0
		}
		if !known {
			total = 0
		}
		tell(read, total)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				now()
			case <-done:
				now()
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// newReport collects what was read and what it led to.
func newReport(streams []*stream, sims []*simulation, o *Options) *Report {
	r := &Report{Read: collect(streams, o.Log.Location)}
	for _, s := range sims {
		r.Results = append(r.Results, (&reporter{s: s, zone: o.Log.Location, top: o.Top}).result())
	}
	if len(sims) == 2 {
		r.Differences = differences(sims[0], sims[1], o.Top)
	}
	r.Notes = notes(r)
	return r
}

// collect adds up what was read of all logs.
func collect(streams []*stream, zone *time.Location) Read {
	all := Read{Files: []File{}, Programs: []Program{}, Silent: []Reason{}, Samples: []Sample{}}
	programs, reasons := map[string]Program{}, map[string]int{}
	for _, s := range streams {
		r := &s.read
		all.Files = append(all.Files, s.file)
		all.Lines += r.Lines
		all.Recognised += r.Recognised
		all.Failures += r.Failures
		all.Successes += r.Successes
		all.Other += r.Other
		all.Unknown += r.Unknown
		all.Malformed += r.Malformed
		all.Cut += r.Cut
		all.Outside += r.Outside
		if !r.First.IsZero() && (all.First.IsZero() || r.First.Before(all.First)) {
			all.First = r.First.In(zone)
		}
		if r.Last.After(all.Last) {
			all.Last = r.Last.In(zone)
		}
		all.Samples = append(all.Samples, r.Samples[:min(len(r.Samples), maxSamples-min(len(all.Samples), maxSamples))]...)
		for name, p := range s.programs {
			sum := programs[name]
			programs[name] = Program{
				Name: name, Lines: sum.Lines + p.Lines, Recognised: sum.Recognised + p.Recognised,
				Failures: sum.Failures + p.Failures, Successes: sum.Successes + p.Successes, Unknown: sum.Unknown + p.Unknown,
			}
		}
		for why, n := range s.reasons {
			reasons[why] += n
		}
	}
	for _, p := range programs {
		all.Programs = append(all.Programs, p)
	}
	slices.SortFunc(all.Programs, func(a, b Program) int { return strings.Compare(a.Name, b.Name) })
	for why, n := range reasons {
		all.Silent = append(all.Silent, Reason{why, n})
	}
	slices.SortFunc(all.Silent, func(a, b Reason) int { return strings.Compare(a.Why, b.Why) })
	return all
}

// ParseClient reads an address or a prefix for a Focus.
func ParseClient(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, errors.New("is neither an address (192.0.2.1) nor a prefix (192.0.2.0/24)")
	}
	return p.Masked(), nil
}
