package hotpath

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/dovecotpolicy"
	"github.com/saslguard/saslguard/eventlog"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/policy"
	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/memory"
)

// site is a guard with its faces and its memory store on disk, put together as the
// daemon does, with the shipped configuration in enforce mode.
type site struct {
	dir      string
	config   *configs.Config
	registry *prometheus.Registry
	store    *memory.Store
	guard    *guard.Guard
	reported atomic.Int64 // attempts that have been counted

	cancel  context.CancelFunc
	running sync.WaitGroup
}

func newSite() (s *site, err error) {
	s = &site{config: configs.Default(), registry: prometheus.NewRegistry()}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	defer func() {
		if err != nil {
			_ = s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "saslguard-hotpath-"); err != nil {
		return s, err
	}
	s.store, err = memory.Open(s.config.Store, memory.Options{Path: s.dir + "/saslguard.db", Logger: zap.NewNop(), Registerer: s.registry})
	if err != nil {
		return s, err
	}
	rules, err := guard.NewRules(s.config.Rules, true)
	if err != nil {
		return s, err
	}
	events, err := eventlog.New(s.config.Events, eventlog.Options{Logger: zap.NewNop(), Registerer: s.registry})
	if err != nil {
		return s, err
	}
	s.guard, err = guard.New(guard.Options{
		Rules: rules, Scores: s.store, Ledger: s.store, Key: s.store.Key(), Host: "bench", Logger: zap.NewNop(), Metric: s.registry,
		Observe: func(e guard.Event) {
			events.Observe(e)
			if e.Kind == guard.Reported {
				s.reported.Add(1)
			}
		},
	})
	if err != nil {
		return s, err
	}
	s.running.Go(func() { _ = s.guard.Run(ctx) })
	<-s.guard.Synced()
	return s, nil
}

func (s *site) close() error {
	s.cancel()
	s.running.Wait()
	var failed error
	if s.store != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		failed = s.store.Close(ctx)
	}
	return errors.Join(failed, os.RemoveAll(s.dir))
}

// ban has an operator ban an address, and waits until the guard knows.
func (s *site) ban(a netip.Addr) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	e := store.Entry{Kind: store.OperatorBan, Prefix: netip.PrefixFrom(a, a.BitLen()), Reason: "a benchmark", By: "bench"}
	if _, err := s.store.Put(ctx, e); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if s.guard.Check(ctx, &guard.Attempt{Client: a}).Would == guard.Refuse {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("the ban does not come into force")
}

// serve starts a face on loopback and returns a connection to it.
func (s *site) serve(run func(context.Context, []net.Listener) error) (net.Conn, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	stop := s.cancel
	s.cancel = func() { cancel(); stop() }
	s.running.Go(func() { _ = run(ctx, []net.Listener{l}) })
	return net.Dial("tcp4", l.Addr().String())
}

func (s *site) postfix() (net.Conn, error) {
	p, err := policy.New(s.config.Postfix, s.guard, policy.Options{Registerer: s.registry})
	if err != nil {
		return nil, err
	}
	return s.serve(p.Serve)
}

func (s *site) dovecot() (net.Conn, error) {
	d, err := dovecotpolicy.New(s.config.Dovecot, s.guard, dovecotpolicy.Options{Registerer: s.registry})
	if err != nil {
		return nil, err
	}
	return s.serve(d.Serve)
}

// counted waits until as many reports are counted.
func (s *site) counted(n int64) error {
	for began := time.Now(); s.reported.Load() < n; time.Sleep(time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			return fmt.Errorf("%d of %d reports are counted", s.reported.Load(), n)
		}
	}
	return nil
}
