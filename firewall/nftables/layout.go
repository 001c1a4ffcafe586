//go:build linux

package nftables

import (
	"fmt"
	"strconv"

	nft "github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/saslguard/saslguard/firewall"
)

// layout is what the table consists of, but for the elements. It is immutable.
//
//	input, forward, prerouting  what is for a guarded port goes to judge, what is for a limited one to limits
//	judge                       by family to judge4 and judge6
//	judge4, judge6              never, operator's bans, allowlist, automatic bans, in this order
//	nat64, sixtofour            the same for the IPv4 address inside an IPv6 one
//	deny                        counts, logs now and then, drops or rejects
//	limits, limits4, limits6    new connections of a source, beyond a rate
//	limits64                    the same for the IPv4 address inside one of NAT64
type layout struct {
	table  string
	hooks  []string
	ports  []uint16
	reject bool
	log    firewall.LogConfig
	logs   firewall.RateLimit
	limits []firewall.Limit
}

func newLayout(c firewall.Config) (*layout, error) {
	l := &layout{table: c.Table, hooks: c.Hooks, reject: c.Verdict == firewall.Reject, log: c.Log}
	var err error
	if l.ports, err = c.GuardedPorts(); err != nil {
		return nil, err
	}
	if l.limits, err = c.ParsedLimits(); err != nil {
		return nil, err
	}
	if l.log.Enabled {
		if l.logs, err = firewall.ParseRate(c.Log.Rate); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// The names of chains, and of sets that hold no bans.
const (
	chainJudge, chainJudge4, chainJudge6    = "judge", "judge4", "judge6"
	chainNAT64, chainSixToFour              = "nat64", "sixtofour"
	chainDeny                               = "deny"
	chainLimits, chainLimits4, chainLimits6 = "limits", "limits4", "limits6"
	chainLimits64                           = "limits64"

	setPorts, setLimited = "ports", "limited"
	setLogged4           = "logged4"
	setLogged6           = "logged6"
)

// rateSet is the set of sources that a limit knows; limits count from 1.
func rateSet(limit int, ipv4 bool) string {
	if ipv4 {
		return "rate4_" + strconv.Itoa(limit)
	}
	return "rate6_" + strconv.Itoa(limit)
}

// logSources is how many sources the log's own limit remembers, and for how long
// beyond it: when they are too many, some are not logged.
const logSources = 65536

// chains are the names of all chains.
func (l *layout) chains() []string {
	all := append([]string{}, l.hooks...)
	all = append(all, chainJudge, chainJudge4, chainJudge6, chainNAT64, chainSixToFour, chainDeny)
	if len(l.limits) > 0 {
		all = append(all, chainLimits, chainLimits4, chainLimits6, chainLimits64)
	}
	return all
}

// build adds sets, chains and rules to a transaction.
func (l *layout) build(t *transaction, table *nft.Table) {
	for set := range firewall.Sets {
		t.set(setOf(table, set), canary(set))
	}
	t.set(portSet(table, setPorts, l.ports))
	if l.log.Enabled {
		for name, key := range map[string]nft.SetDatatype{setLogged4: nft.TypeIPAddr, setLogged6: nft.TypeIP6Addr} {
			t.set(&nft.Set{Table: table, Name: name, KeyType: key, Dynamic: true, HasTimeout: true, Timeout: l.logs.Full(), Size: logSources}, nil)
		}
	}
	var limited []uint16
	for i, limit := range l.limits {
		limited = append(limited, limit.Ports...)
		t.set(portSet(table, fmt.Sprintf("limit%d", i+1), limit.Ports))
		for _, ipv4 := range []bool{true, false} {
			s := &nft.Set{Table: table, Name: rateSet(i+1, ipv4), KeyType: nft.TypeIP6Addr, Dynamic: true, HasTimeout: true,
				Timeout: limit.Expiry, Size: uint32(limit.Size)}
			if ipv4 {
				s.KeyType = nft.TypeIPAddr
			}
			t.set(s, nil)
		}
	}
	if len(limited) > 0 {
		t.set(portSet(table, setLimited, limited))
	}
	b := &rules{transaction: t, table: table}
	for _, name := range l.chains() {
		b.chain(name)
	}
	for _, hook := range l.hooks {
		l.entrance(b, hook)
	}
	l.judging(b)
	l.denying(b)
	l.limiting(b)
}

// set adds a set. Its number within the transaction is given here: the library's own
// count is shared by all of the process without a lock.
func (t *transaction) set(s *nft.Set, elements []nft.SetElement) {
	t.sets++
	s.ID = t.sets
	if err := t.AddSet(s, elements); err != nil && t.err == nil {
		t.err = err
	}
}

// portSet is a set of ports that never changes.
func portSet(table *nft.Table, name string, ports []uint16) (*nft.Set, []nft.SetElement) {
	var elements []nft.SetElement
	seen := map[uint16]bool{}
	for _, p := range ports {
		if !seen[p] {
			elements = append(elements, nft.SetElement{Key: binaryutil.BigEndian.PutUint16(p)})
		}
		seen[p] = true
	}
	return &nft.Set{Table: table, Name: name, KeyType: nft.TypeInetService, Constant: true}, elements
}

// entrance lets what comes by the loopback interface pass and sends on what is
// for the ports. The priority of input and forward is before the chains of other
// tables, of which many accept what is established. In prerouting it is before
// DNAT; where packets are forwarded it is the port that the client meant that
// counts, and only what comes from the client.
func (l *layout) entrance(b *rules, hook string) {
	b.rule(hook, append(is(&expr.Meta{Key: expr.MetaKeyIIFTYPE, Register: 1}, binaryutil.NativeEndian.PutUint16(unix.ARPHRD_LOOPBACK)), accept())...)
	port := []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}}
	if hook == firewall.HookForward {
		port = append(is(&expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1}, []byte{0}), originalPort())
	}
	tcp := is(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, []byte{unix.IPPROTO_TCP})
	b.rule(hook, join(tcp, port, lookup(setPorts), jump(chainJudge))...)
	if len(l.limits) > 0 {
		b.rule(hook, join(tcp, port, lookup(setLimited), isNew(), goTo(chainLimits))...)
	}
}

// judging looks a source up, layer by layer.
func (l *layout) judging(b *rules) {
	b.families(chainJudge, chainJudge4, chainJudge6)
	b.layers4(chainJudge4, source4(), accept())
	b.rule(chainJudge6, join(fromNAT64(), jump(chainNAT64))...)
	b.rule(chainJudge6, join(family(unix.NFPROTO_IPV6), is(header(8, 2), []byte{0x20, 0x02}), jump(chainSixToFour))...)
	// Anybody can send from an address with a private one inside: that is nobody's.
	b.layers4(chainNAT64, one(header(8+12, 4)), verdict(expr.VerdictReturn))
	b.layers4(chainSixToFour, one(header(8+2, 4)), verdict(expr.VerdictReturn))
	whole := source6()
	b.rule(chainJudge6, join(whole, lookup(firewall.Never6.String()), one(accept()))...)
	b.rule(chainJudge6, join(whole, lookup(firewall.Operator6.String()), goTo(chainDeny))...)
	b.rule(chainJudge6, join(whole, lookup(firewall.Allow6.String()), one(accept()))...)
	b.rule(chainJudge6, join(whole, one(mask64()), lookup(firewall.Ban64.String()), goTo(chainDeny))...)
	b.rule(chainJudge6, join(whole, lookup(firewall.Ban6.String()), goTo(chainDeny))...)
	b.rule(chainJudge6, join(whole, lookup(firewall.Net6.String()), goTo(chainDeny))...)
}

// fromNAT64 goes on with packets from 64:ff9b::/96 (RFC 6052).
func fromNAT64() []expr.Any {
	return join(family(unix.NFPROTO_IPV6), is(header(8, 12), []byte{0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0}))
}

// layers4 looks up an IPv4 address that is loaded from the header.
func (b *rules) layers4(chain string, source []expr.Any, never expr.Any) {
	for _, layer := range []struct {
		set     firewall.Set
		verdict []expr.Any
	}{
		{firewall.Never4, one(never)}, {firewall.Operator4, goTo(chainDeny)}, {firewall.Allow4, one(accept())},
		{firewall.Ban4, goTo(chainDeny)}, {firewall.Net4, goTo(chainDeny)},
	} {
		b.rule(chain, join(source, lookup(layer.set.String()), layer.verdict)...)
	}
}

// denying counts, logs and refuses. The log has a rule and a limit of its own: in
// the rule that drops, a limit would let through what is beyond it.
func (l *layout) denying(b *rules) {
	b.rule(chainDeny, &expr.Counter{})
	if l.log.Enabled {
		limit := &expr.Limit{Type: expr.LimitTypePkts, Rate: l.logs.Count, Unit: expr.LimitTime(l.logs.Per.Seconds()), Burst: uint32(l.logs.Burst)}
		b.rule(chainDeny, join(source4(), one(update(setLogged4, 0, limit)), one(l.logging()))...)
		b.rule(chainDeny, join(source6(), one(mask64()), one(update(setLogged6, 0, limit)), one(l.logging()))...)
	}
	b.rule(chainDeny, l.refuse())
}

func (l *layout) logging() expr.Any {
	e := &expr.Log{Key: 1 << unix.NFTA_LOG_PREFIX, Data: []byte(l.log.Prefix)}
	if l.log.Group > 0 {
		e.Key |= 1 << unix.NFTA_LOG_GROUP
		e.Group = uint16(l.log.Group)
	} else {
		e.Key |= 1 << unix.NFTA_LOG_LEVEL
		e.Level = expr.LogLevelInfo
	}
	return e
}

func (l *layout) refuse() expr.Any {
	if l.reject {
		return &expr.Reject{Type: unix.NFT_REJECT_TCP_RST}
	}
	return verdict(expr.VerdictDrop)
}

// limiting refuses new connections beyond a rate, of sources that no layer lets
// pass. A source that stays away for the expiry is forgotten; while as many are
// known as the limit's size, others pass.
func (l *layout) limiting(b *rules) {
	if len(l.limits) == 0 {
		return
	}
	b.families(chainLimits, chainLimits4, chainLimits6)
	for _, f := range []struct {
		chain  string
		ipv4   bool
		source []expr.Any
		pass   []firewall.Set
	}{
		{chainLimits4, true, source4(), []firewall.Set{firewall.Never4, firewall.Allow4}},
		{chainLimits6, false, source6(), []firewall.Set{firewall.Never6, firewall.Allow6}},
		{chainLimits64, true, one(header(8+12, 4)), []firewall.Set{firewall.Allow4}},
	} {
		for _, set := range f.pass {
			b.rule(f.chain, join(f.source, lookup(set.String()), one(accept()))...)
		}
		if f.chain == chainLimits6 {
			// All who come by one NAT64 share a /64, and are not one client.
			b.rule(f.chain, join(fromNAT64(), goTo(chainLimits64))...)
		}
		key := f.source
		if !f.ipv4 {
			key = join(f.source, one(mask64()))
		}
		for i, limit := range l.limits {
			over := &expr.Limit{Type: expr.LimitTypePkts, Rate: limit.Rate.Count, Unit: expr.LimitTime(limit.Rate.Per.Seconds()), Burst: uint32(limit.Rate.Burst), Over: true}
			b.rule(f.chain, join(one(originalPort()), lookup(fmt.Sprintf("limit%d", i+1)), key,
				one(update(rateSet(i+1, f.ipv4), limit.Expiry, over, &expr.Counter{})), one(l.refuse()))...)
		}
	}
}
