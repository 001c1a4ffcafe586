//go:build linux

package nftables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/saslguard/saslguard/firewall"
)

// queryTimeout is for one question; the kernel answers at once.
const queryTimeout = 10 * time.Second

// ask asks nftables something and returns the answers without their headers.
func (b *Backend) ask(kind uint16, flags netlink.HeaderFlags, attributes []netlink.Attribute) ([][]byte, error) {
	data, err := netlink.MarshalAttributes(attributes)
	if err != nil {
		return nil, err
	}
	if b.reading == nil {
		if b.reading, err = netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: b.netns}); err != nil {
			return nil, explain(err)
		}
	}
	if err := b.reading.SetDeadline(time.Now().Add(queryTimeout)); err != nil {
		return nil, errors.Join(err, b.closeReading())
	}
	// Behind it comes struct nfgenmsg: family, version and two unused octets.
	answers, err := b.reading.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind), Flags: netlink.Request | flags},
		Data:   append([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}, data...),
	})
	if gone(err) {
		return nil, err // an answer like others
	}
	if err != nil {
		return nil, errors.Join(explain(err), b.closeReading())
	}
	var bodies [][]byte
	for _, a := range answers {
		if len(a.Data) >= 4 {
			bodies = append(bodies, a.Data[4:])
		}
	}
	return bodies, nil
}

// text is a string as the kernel takes it.
func text(s string) []byte { return append([]byte(s), 0) }

// each walks attributes, whose numbers are in network order.
func each(data []byte, f func(d *netlink.AttributeDecoder)) error {
	d, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return err
	}
	d.ByteOrder = binary.BigEndian
	for d.Next() {
		f(d)
	}
	return d.Err()
}

// generation is the number of the ruleset, which every transaction changes.
func (b *Backend) generation() (uint32, error) {
	answers, err := b.ask(unix.NFT_MSG_GETGEN, 0, nil)
	if err != nil {
		return 0, fmt.Errorf("asking for the generation: %w", err)
	}
	var id uint32
	for _, a := range answers {
		if err := each(a, func(d *netlink.AttributeDecoder) {
			if d.Type() == unix.NFTA_GEN_ID {
				id = d.Uint32()
			}
		}); err != nil {
			return 0, err
		}
	}
	return id, nil
}

// rules returns the handles of the table's rules by chain.
func (b *Backend) rules() (map[string][]uint64, error) {
	handles := map[string][]uint64{}
	err := b.eachRule(func(chain string, handle uint64, _ []byte) {
		handles[chain] = append(handles[chain], handle)
	})
	return handles, err
}

// eachRule calls f with every rule of the table and its expressions.
func (b *Backend) eachRule(f func(chain string, handle uint64, exprs []byte)) error {
	answers, err := b.ask(unix.NFT_MSG_GETRULE, netlink.Dump, []netlink.Attribute{{Type: unix.NFTA_RULE_TABLE, Data: text(b.inForce.table)}})
	if err != nil {
		return err
	}
	for _, a := range answers {
		var table, chain string
		var handle uint64
		var exprs []byte
		if err := each(a, func(d *netlink.AttributeDecoder) {
			switch d.Type() {
			case unix.NFTA_RULE_TABLE:
				table = d.String()
			case unix.NFTA_RULE_CHAIN:
				chain = d.String()
			case unix.NFTA_RULE_HANDLE:
				handle = d.Uint64()
			case unix.NFTA_RULE_EXPRESSIONS:
				exprs = d.Bytes()
			}
		}); err != nil {
			return err
		}
		if table == b.inForce.table { // old kernels do not filter
			f(chain, handle, exprs)
		}
	}
	return nil
}

// hooked tells whether a chain is there, and at its hook.
func (b *Backend) hooked(chain string) (bool, error) {
	answers, err := b.ask(unix.NFT_MSG_GETCHAIN, 0, []netlink.Attribute{
		{Type: unix.NFTA_CHAIN_TABLE, Data: text(b.inForce.table)}, {Type: unix.NFTA_CHAIN_NAME, Data: text(chain)},
	})
	if gone(err) {
		return false, nil
	}
	hooked := false
	for _, a := range answers {
		if err := each(a, func(d *netlink.AttributeDecoder) { hooked = hooked || d.Type() == unix.NFTA_CHAIN_HOOK }); err != nil {
			return false, err
		}
	}
	return hooked, err
}

// hasCanary tells whether a set is there and has its canary.
func (b *Backend) hasCanary(set firewall.Set) (bool, error) {
	key, err := nested(unix.NFTA_DATA_VALUE, canary(set)[0].Key)
	if err != nil {
		return false, err
	}
	for _, kind := range []uint16{unix.NFTA_SET_ELEM_KEY, unix.NFTA_LIST_ELEM} {
		if key, err = nested(kind|unix.NLA_F_NESTED, key); err != nil {
			return false, err
		}
	}
	_, err = b.ask(unix.NFT_MSG_GETSETELEM, 0, []netlink.Attribute{
		{Type: unix.NFTA_SET_ELEM_LIST_TABLE, Data: text(b.inForce.table)},
		{Type: unix.NFTA_SET_ELEM_LIST_SET, Data: text(set.String())},
		{Type: unix.NFTA_SET_ELEM_LIST_ELEMENTS | unix.NLA_F_NESTED, Data: key},
	})
	if gone(err) {
		return false, nil
	}
	return err == nil, err
}

func nested(kind uint16, data []byte) ([]byte, error) {
	return netlink.MarshalAttributes([]netlink.Attribute{{Type: kind, Data: data}})
}

// gone tells whether the kernel says that there is no such thing.
func gone(err error) bool { return errors.Is(err, syscall.ENOENT) }
