//go:build linux

// Package nftables brings bans into the kernel: a table of its own in the inet
// family, changed by netlink (https://wiki.nftables.org), with whose other tables
// it has nothing to do.
//
// What is written goes through google/nftables, one transaction at a time with a
// deadline; messages hold at most a thousand elements, since more than 2340 wrap a
// counter there. What is read (the generation, canary elements, rules, the sources
// that limits know) is asked by netlink itself: that library dumps whole sets to
// find one element, and does not read the counters that limits have. Sockets stay
// open: to close one after something was deleted waits for the kernel to be through
// with it, 15 ms instead of 0.2.
//
// On failure nothing of a transaction has happened, and the next one has a socket of
// its own. Bans end in the kernel by themselves, also when nobody is there any more.
package nftables

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	nft "github.com/google/nftables"
	"github.com/mdlayher/netlink"

	"github.com/saslguard/saslguard/firewall"
)

const (
	// perMessage is how many elements a message has at most.
	perMessage = 1000
	// timeout is for one transaction; a hundred thousand elements take 0.3 s.
	timeout = 30 * time.Second
	// writeBuffer is the longest transaction, in octets: some ten million bans.
	// readBuffer takes its acknowledgements, one for each message. They are limits:
	// no memory is set aside.
	writeBuffer = 1 << 29
	readBuffer  = 1 << 26
)

// Options are where a backend works.
type Options struct {
	// NetNS is a file descriptor of the network namespace; 0 is the process's.
	NetNS int
	// Now is the clock that ends of bans are measured by; nil is time.Now.
	Now func() time.Time
}

// Backend keeps a table. It implements firewall.Backend and firewall.Measurer.
type Backend struct {
	netns  int
	now    func() time.Time
	layout atomic.Pointer[layout] // for the next Replace

	writing *nft.Conn     // nil: none is open
	socket  *netlink.Conn // its socket
	reading *netlink.Conn // nil: none is open

	inForce *layout             // what the last Replace made
	handles map[string][]uint64 // of the rules in its chains
	seen    uint32              // the generation at which all was there
}

// New returns the backend of a configuration that has passed Check. It asks the
// kernel nothing yet.
func New(c firewall.Config, o Options) (*Backend, error) {
	b := &Backend{netns: o.NetNS, now: o.Now}
	if b.now == nil {
		b.now = time.Now
	}
	return b, b.Reload(c)
}

// Reload has the next Replace make the table as the configuration wants it.
func (b *Backend) Reload(c firewall.Config) error {
	l, err := newLayout(c)
	if err != nil {
		return err
	}
	if old := b.layout.Load(); old != nil {
		l.table = old.table // another name takes a restart
	}
	b.layout.Store(l)
	return nil
}

// Name implements firewall.Backend.
func (b *Backend) Name() string { return firewall.NFTables }

// Traits implements firewall.Backend: the order of the rules is that of the layers,
// and the kernel ends elements.
func (b *Backend) Traits() firewall.Traits { return firewall.Traits{Layered: true, Expires: true} }

// Close implements firewall.Backend.
func (b *Backend) Close(context.Context) error {
	return errors.Join(b.closeWriting(), b.closeReading())
}

func (b *Backend) closeWriting() error {
	c := b.writing
	if b.writing = nil; c == nil {
		return nil
	}
	return c.CloseLasting()
}

func (b *Backend) closeReading() error {
	c := b.reading
	if b.reading = nil; c == nil {
		return nil
	}
	return c.Close()
}

// transaction collects what happens in one step.
type transaction struct {
	*nft.Conn
	backend *Backend
	err     error  // the first one of building it
	sets    uint32 // how many it adds
}

func (b *Backend) begin() (*transaction, error) {
	if b.writing == nil {
		c, err := nft.New(nft.AsLasting(), nft.WithNetNSFd(b.netns), nft.WithSockOptions(
			func(c *netlink.Conn) error { b.socket = c; return nil },
			func(c *netlink.Conn) error { return c.SetWriteBuffer(writeBuffer) },
			func(c *netlink.Conn) error { return c.SetReadBuffer(readBuffer) },
		))
		if err != nil {
			return nil, explain(err)
		}
		b.writing = c
	}
	return &transaction{Conn: b.writing, backend: b}, nil
}

// commit carries out a transaction. After an error the socket may still have
// answers, which are nobody's.
func (t *transaction) commit() error {
	err := t.err
	if err == nil {
		err = t.backend.socket.SetDeadline(time.Now().Add(timeout))
	}
	if err == nil {
		err = t.Flush()
	}
	if err != nil {
		return errors.Join(explain(err), t.backend.closeWriting())
	}
	return nil
}

// explain adds to an error what can be done about it.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: %w", firewall.ErrPermission, err)
	case errors.Is(err, syscall.EPROTONOSUPPORT), errors.Is(err, syscall.EOPNOTSUPP):
		return fmt.Errorf("this kernel has no nftables, or cannot load the module nf_tables: %w", err)
	}
	return err
}

// Replace implements firewall.Backend. The table that is there goes in the same
// step in which the new one comes.
func (b *Backend) Replace(ctx context.Context, all []firewall.Element) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t, err := b.begin()
	if err != nil {
		return err
	}
	l := b.layout.Load()
	table := &nft.Table{Name: l.table, Family: nft.TableFamilyINet}
	t.AddTable(table) // so that there is one to delete
	t.DelTable(table)
	t.AddTable(table)
	l.build(t, table)
	var in [firewall.Sets][]nft.SetElement
	now := b.now()
	for _, e := range all {
		set := e.Set()
		if in[set] = appendElement(in[set], e, now); len(in[set]) >= perMessage-1 {
			t.add(table, set, in[set])
			in[set] = in[set][:0]
		}
	}
	for set, elements := range in {
		t.add(table, firewall.Set(set), elements)
	}
	if err := t.commit(); err != nil {
		return fmt.Errorf("building the table %s: %w", l.table, err)
	}
	b.inForce, b.seen = l, 0
	if b.handles, err = b.rules(); err != nil {
		return fmt.Errorf("reading the rules of the table %s: %w", l.table, err)
	}
	return nil
}

// Apply implements firewall.Backend. Changes of the same kind to the same set
// share messages.
func (b *Backend) Apply(ctx context.Context, changes []firewall.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.inForce == nil {
		return errors.New("there is no table yet")
	}
	t, err := b.begin()
	if err != nil {
		return err
	}
	table := &nft.Table{Name: b.inForce.table, Family: nft.TableFamilyINet}
	now := b.now()
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && sameKind(&changes[0], &changes[n]) {
			n++
		}
		t.change(table, changes[:n], now)
		changes = changes[n:]
	}
	if err := t.commit(); err != nil {
		return err
	}
	// Only this transaction since: nothing of somebody else's to look at.
	if g, err := b.generation(); err == nil && g == b.seen+1 {
		b.seen = g
	}
	return nil
}

func sameKind(a, b *firewall.Change) bool { return a.Remove == b.Remove && a.Set() == b.Set() }

// change adds changes of one kind to one set.
//
// In a hash set an element is put by adding, deleting and adding it: kernels before
// 6.12 ignore a new timeout of one that is there. It is removed by adding and
// deleting it, which does not mind that it has ended meanwhile. In an interval set
// kernels do not find what the same transaction has added after a deletion: there,
// what has not ended is deleted, and if it ends at this very moment the transaction
// fails and everything is built anew.
func (t *transaction) change(table *nft.Table, changes []firewall.Change, now time.Time) {
	set := changes[0].Set()
	var old, elements []nft.SetElement
	for i := range changes {
		c := &changes[i]
		if e := c.Element; c.Remove {
			old = appendElement(old, e, now)
		} else if elements = appendElement(elements, e, now); c.Had {
			e.Until = c.Was
			old = appendElement(old, e, now)
		}
	}
	if set.Interval() {
		t.remove(table, set, old)
		t.add(table, set, elements)
		return
	}
	if changes[0].Remove {
		elements = old
	}
	t.add(table, set, elements)
	t.remove(table, set, elements)
	if !changes[0].Remove {
		t.add(table, set, elements)
	}
}

// Remove implements firewall.Backend.
func (b *Backend) Remove(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t, err := b.begin()
	if err != nil {
		return err
	}
	table := &nft.Table{Name: b.layout.Load().table, Family: nft.TableFamilyINet}
	t.AddTable(table)
	t.DelTable(table)
	if err := t.commit(); err != nil {
		return fmt.Errorf("removing the table %s: %w", table.Name, err)
	}
	b.inForce = nil
	return nil
}
