//go:build linux

package nftables

import (
	"time"

	nft "github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/saslguard/saslguard/firewall"
)

// rules adds chains and rules to a transaction.
type rules struct {
	*transaction
	table *nft.Table
}

// chain adds a chain; those named like a hook are where packets come in.
func (b *rules) chain(name string) {
	c := &nft.Chain{Name: name, Table: b.table}
	if number, priority, ok := hookOf(name); ok {
		policy := nft.ChainPolicyAccept
		c.Type, c.Policy = nft.ChainTypeFilter, &policy
		c.Hooknum, c.Priority = nft.ChainHookRef(nft.ChainHook(number)), nft.ChainPriorityRef(nft.ChainPriority(priority))
	}
	b.AddChain(c)
}

// hookOf returns the hook and the priority of a chain that packets come into.
func hookOf(chain string) (number uint32, priority int32, ok bool) {
	switch chain {
	case firewall.HookInput:
		return unix.NF_INET_LOCAL_IN, -10, true
	case firewall.HookForward:
		return unix.NF_INET_FORWARD, -10, true
	case firewall.HookPrerouting:
		return unix.NF_INET_PRE_ROUTING, -150, true
	}
	return 0, 0, false
}

func (b *rules) rule(chain string, exprs ...expr.Any) {
	b.AddRule(&nft.Rule{Table: b.table, Chain: &nft.Chain{Name: chain, Table: b.table}, Exprs: exprs})
}

// families sends IPv4 to one chain and IPv6 to another.
func (b *rules) families(chain, chain4, chain6 string) {
	b.rule(chain, append(family(unix.NFPROTO_IPV4), goTo(chain4)...)...)
	b.rule(chain, append(family(unix.NFPROTO_IPV6), goTo(chain6)...)...)
}

// one is a single expression where several may stand.
func one(e expr.Any) []expr.Any { return []expr.Any{e} }

func join(parts ...[]expr.Any) []expr.Any {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// is loads something into register 1 and goes on if it equals a value.
func is(load expr.Any, value []byte) []expr.Any {
	return []expr.Any{load, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value}}
}

func family(f byte) []expr.Any {
	return is(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, []byte{f})
}

// source4 loads the source address of an IPv4 packet. The chains are for one
// family already; it is asked for again so that nft shows an ip saddr.
func source4() []expr.Any { return append(family(unix.NFPROTO_IPV4), header(12, 4)) }

// source6 loads the source address of an IPv6 packet.
func source6() []expr.Any { return append(family(unix.NFPROTO_IPV6), header(8, 16)) }

// header loads octets of the network header.
func header(offset, length uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length}
}

// mask64 keeps the first 64 bits of an IPv6 address.
func mask64() expr.Any {
	mask := make([]byte, 16)
	for i := range 8 {
		mask[i] = 0xff
	}
	return &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 16, Mask: mask, Xor: make([]byte, 16)}
}

// originalPort loads the port that the client meant, before DNAT.
func originalPort() expr.Any {
	return &expr.Ct{Key: expr.CtKeyPROTODST, Register: 1, Direction: 0}
}

// isNew goes on with the first packet of a connection.
func isNew() []expr.Any {
	bit := binaryutil.NativeEndian.PutUint32(expr.CtStateBitNEW)
	none := make([]byte, 4)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: bit, Xor: none},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: none},
	}
}

// lookup goes on if register 1 is in a set.
func lookup(set string) []expr.Any {
	return one(&expr.Lookup{SourceRegister: 1, SetName: set})
}

// update notes register 1 in a set and goes on as the expressions say.
func update(set string, forgets time.Duration, exprs ...expr.Any) expr.Any {
	return &expr.Dynset{SrcRegKey: 1, SetName: set, Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: forgets, Exprs: exprs}
}

func verdict(kind expr.VerdictKind) expr.Any { return &expr.Verdict{Kind: kind} }

func accept() expr.Any { return verdict(expr.VerdictAccept) }

func jump(chain string) []expr.Any {
	return one(&expr.Verdict{Kind: expr.VerdictJump, Chain: chain})
}

func goTo(chain string) []expr.Any {
	return one(&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain})
}
