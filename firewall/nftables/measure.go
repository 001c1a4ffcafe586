//go:build linux

package nftables

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/saslguard/saslguard/firewall"
)

// Attributes and names that golang.org/x/sys lacks or has for others: see
// include/uapi/linux/netfilter/nf_tables.h.
const (
	nftaSetElemExpressions = 11
	exprCounter            = "counter"
)

// Denied implements firewall.Measurer.
func (b *Backend) Denied(ctx context.Context) (packets, octets uint64, err error) {
	if b.inForce == nil || ctx.Err() != nil {
		return 0, 0, ctx.Err()
	}
	err = b.eachRule(func(chain string, _ uint64, exprs []byte) {
		if chain == chainDeny {
			p, o := counterIn(exprs)
			packets, octets = packets+p, octets+o
		}
	})
	return packets, octets, err
}

// counterIn returns what the counter in a list of expressions has counted.
func counterIn(list []byte) (packets, octets uint64) {
	_ = each(list, func(d *netlink.AttributeDecoder) {
		p, o := counterOf(d.Bytes())
		packets, octets = packets+p, octets+o
	})
	return packets, octets
}

// counterOf returns what an expression has counted, if it is a counter.
func counterOf(data []byte) (packets, octets uint64) {
	counter := false
	_ = each(data, func(d *netlink.AttributeDecoder) {
		switch d.Type() {
		case unix.NFTA_EXPR_NAME:
			counter = d.String() == exprCounter
		case unix.NFTA_EXPR_DATA:
			if !counter {
				return
			}
			_ = each(d.Bytes(), func(d *netlink.AttributeDecoder) {
				switch d.Type() {
				case unix.NFTA_COUNTER_PACKETS:
					packets = d.Uint64()
				case unix.NFTA_COUNTER_BYTES:
					octets = d.Uint64()
				}
			})
		}
	})
	return packets, octets
}

// Rates implements firewall.Measurer.
func (b *Backend) Rates(ctx context.Context) ([]firewall.Rate, error) {
	if b.inForce == nil {
		return nil, nil
	}
	var rates []firewall.Rate
	for i := range b.inForce.limits {
		for _, ipv4 := range []bool{true, false} {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			answers, err := b.ask(unix.NFT_MSG_GETSETELEM, netlink.Dump, []netlink.Attribute{
				{Type: unix.NFTA_SET_ELEM_LIST_TABLE, Data: text(b.inForce.table)},
				{Type: unix.NFTA_SET_ELEM_LIST_SET, Data: text(rateSet(i+1, ipv4))},
			})
			if err != nil {
				return nil, err
			}
			for _, a := range answers {
				found, err := decodeRates(a, i+1)
				if err != nil {
					return nil, err
				}
				rates = append(rates, found...)
			}
		}
	}
	slices.SortFunc(rates, func(a, b firewall.Rate) int {
		if a.Limit != b.Limit {
			return a.Limit - b.Limit
		}
		return a.Source.Addr().Compare(b.Source.Addr())
	})
	return rates, nil
}

// decodeRates reads one message of a set's elements.
func decodeRates(message []byte, limit int) (rates []firewall.Rate, err error) {
	list := func(d *netlink.AttributeDecoder) {
		_ = each(d.Bytes(), func(d *netlink.AttributeDecoder) {
			if r, ok := decodeRate(d.Bytes()); ok {
				r.Limit = limit
				rates = append(rates, r)
			}
		})
	}
	err = each(message, func(d *netlink.AttributeDecoder) {
		if d.Type() == unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			list(d)
		}
	})
	return rates, err
}

// decodeRate reads an element of a set of sources.
func decodeRate(data []byte) (r firewall.Rate, ok bool) {
	var life time.Duration
	err := each(data, func(d *netlink.AttributeDecoder) {
		switch d.Type() {
		case unix.NFTA_SET_ELEM_KEY:
			_ = each(d.Bytes(), func(d *netlink.AttributeDecoder) {
				var a netip.Addr
				if a, ok = netip.AddrFromSlice(d.Bytes()); ok {
					r.Source, _ = a.Prefix(min(a.BitLen(), 64))
				}
			})
		case unix.NFTA_SET_ELEM_TIMEOUT:
			life = time.Duration(d.Uint64()) * time.Millisecond
		case unix.NFTA_SET_ELEM_EXPIRATION:
			r.Forgets = time.Duration(d.Uint64()) * time.Millisecond
		case nftaSetElemExpressions:
			r.Refused, _ = counterIn(d.Bytes())
		}
	})
	r.Seen, r.Limiting = max(life-r.Forgets, 0), r.Refused > 0
	return r, ok && err == nil
}
