package main

import (
	"context"
	"errors"

	"github.com/saslguard/saslguard/test/bench/load"
)

// postfwdConnections are as many as postfwd starts processes for by itself; it answers
// fewer questions over more.
const postfwdConnections = 10

// closed is a closed loop of a crowd.
func (b *bench) closed(dialect func() load.Dialect, source func(int) load.Source) load.Load {
	return load.Load{
		Dialect: dialect, Source: source, Connections: b.connections, Threads: b.threads,
		Warmup: b.duration / 5, Duration: b.duration,
	}
}

// crowd is the mix of clients that the command line asks for.
func (b *bench) crowd(commands ...load.Command) *load.Crowd {
	return &load.Crowd{Mix: b.mix, Sizes: b.sizes(), Commands: commands, Fresh: &b.fresh}
}

// introduce makes a daemon know the clients of a crowd: who is known has logged in,
// who is banned is banned.
func (b *bench) introduce(ctx context.Context, d *daemon) error {
	if err := b.banAll(ctx, d, b.people); err != nil {
		return err
	}
	return b.report(ctx, d, &load.Reports{Kind: load.Known, Clients: b.people, Tries: 1, Success: true})
}

// throughput is how many questions are answered in a second, beside what the least
// server that speaks the protocol answers.
func (b *bench) throughput(ctx context.Context) (err error) {
	d, err := b.startDaemon(ctx, settings{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	web, err := b.startBaseline(ctx, httpName)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, web.stop()) }()
	lines, err := b.startBaseline(ctx, echoName)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lines.stop()) }()
	if err := b.introduce(ctx, d); err != nil {
		return err
	}
	if err := b.dovecotThroughput(ctx, d, web); err != nil {
		return err
	}
	return b.postfixThroughput(ctx, d, lines)
}

func (b *bench) dovecotThroughput(ctx context.Context, d *daemon, web *child) error {
	for _, c := range []struct {
		what    string
		command load.Command
		target  *target
	}{{"Dovecot allow", load.Allow, ratioAtLeast(1.3)}, {"Dovecot report", load.Report, ratioAtLeast(1.1)}} {
		l := b.closed(dovecot, b.crowd(c.command).Source)
		ours, bare := d.measured(c.what, d.dovecot, l), web.measured(httpName, l)
		if err := b.contest(ctx, b.rounds, ours, bare); err != nil {
			return err
		}
		b.add(figure{part: "throughput", what: c.what, unit: perSecond, ours: ours.perSecond, beside: bareHTTP, baseline: bare.perSecond, target: c.target})
		b.addCosts(c.what, ours, bare, bareHTTP)
		if c.command == load.Report {
			dropped, err := d.metric("saslguard_reports_dropped_total")
			if err != nil {
				return err
			}
			b.add(figure{part: "throughput", what: "Dovecot reports dropped meanwhile", unit: number, ours: series{dropped}, target: atMost(0)})
		}
	}
	return b.wrk(ctx, d, web)
}

func (b *bench) postfixThroughput(ctx context.Context, d *daemon, lines *child) (err error) {
	const what = "Postfix decision"
	l := b.closed(postfix, b.crowd().Source)
	ours, bare := d.measured(what, d.postfix, l), lines.measured(echoName, l)
	contenders := []*contender{ours, bare}
	var others *contender
	if installed(postfwd) && b.root() {
		f, err := b.startPostfwd(ctx, postfwdConnections)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.stop()) }()
		few := l
		few.Connections, few.Threads = postfwdConnections, 1
		others = &contender{name: "postfwd", server: f.addr, load: few}
		contenders = append(contenders, others)
		// What each of its processes is asked first takes it a second.
		first := few
		first.Questions, first.Duration = postfwdConnections, startWithin
		if _, err := first.Run(ctx, f.addr); err != nil {
			return err
		}
	} else {
		b.note("postfwd was not measured: it is not installed, or this is not root")
	}
	if err := b.contest(ctx, b.rounds, contenders...); err != nil {
		return err
	}
	b.add(figure{part: "throughput", what: what, unit: perSecond, ours: ours.perSecond, beside: bareEcho, baseline: bare.perSecond, target: ratioAtLeast(0.8)})
	if others != nil {
		b.add(figure{part: "throughput", what: what, unit: perSecond, ours: ours.perSecond, beside: "postfwd", baseline: others.perSecond, target: ratioAtLeast(25)})
	}
	b.addCosts(what, ours, bare, bareEcho)
	return nil
}

// addCosts adds what an answer costs the server's processors and memory.
func (b *bench) addCosts(what string, ours, bare *contender, beside string) {
	b.add(figure{part: "throughput", what: what + ", processor time", unit: microseconds, ours: ours.cpu, beside: beside, baseline: bare.cpu})
	b.add(figure{part: "throughput", what: what + ", allocations", unit: number, ours: ours.allocations})
}
