//go:build linux

// Package sockdiag ends TCP connections that are established already, by the
// kernel's sock_diag (sock_diag(7), SOCK_DESTROY): a firewall that drops packets
// leaves the server's socket, and the process behind it, to time out by itself.
//
// Only connections to local ports that are asked for are touched: others to the
// same host, such as mail on its way there, go on. Both families are looked
// through, since servers that listen on :: have IPv4 clients as IPv4-mapped ones.
// Sockets of other network namespaces, such as containers', are not seen. What
// fails leaves connections open, to which no packet comes any more.
//
// It speaks netlink itself, in two messages: libraries that do it look for IPv4
// clients among IPv4 sockets only, and have sockets found by both addresses.
package sockdiag

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/saslguard/saslguard/firewall"
)

// timeout is for one dump, or for ending one connection.
const timeout = 5 * time.Second

// The layout of struct inet_diag_req_v2 and struct inet_diag_msg, of
// include/uapi/linux/inet_diag.h: both have a struct inet_diag_sockid.
const (
	requestSize = 56
	messageSize = 72
	requestID   = 8 // where the sockid begins in a request
	messageID   = 4 // and in a message
	idSize      = 48
	idDest      = 20 // where the address of the other end does, in a sockid
)

// TCP states of include/net/tcp_states.h, as bits: connections that were accepted,
// or are about to be, and whose end has not come.
const states = 1<<1 | // ESTABLISHED
	1<<3 | // SYN_RECV
	1<<4 | 1<<5 | // FIN_WAIT1, FIN_WAIT2
	1<<8 | 1<<9 | // CLOSE_WAIT, LAST_ACK
	1<<11 // CLOSING

// Sessions ends connections. It implements firewall.Sessions.
type Sessions struct {
	// NetNS is a file descriptor of the network namespace; 0 is the process's.
	NetNS int
}

var _ firewall.Sessions = Sessions{}

// End implements firewall.Sessions.
func (s Sessions) End(ctx context.Context, ports []uint16, match func(netip.Addr) bool, limit int) (int, error) {
	c, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, &netlink.Config{NetNS: s.NetNS})
	if err != nil {
		return 0, fmt.Errorf("asking for connections: %w", err)
	}
	defer c.Close()
	ended := 0
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		found, err := list(c, family, ports, match)
		if err != nil {
			return ended, fmt.Errorf("listing connections: %w", err)
		}
		for _, f := range found {
			if err := ctx.Err(); err != nil || ended == limit {
				return ended, err
			}
			switch err := destroy(c, family, f); {
			case err == nil:
				ended++
			case errors.Is(err, os.ErrPermission):
				return ended, fmt.Errorf("ending connections: %w: %w", firewall.ErrPermission, err)
			case errors.Is(err, syscall.ENOENT):
				// It has ended meanwhile.
			default:
				return ended, fmt.Errorf("ending a connection: %w", err)
			}
		}
	}
	return ended, nil
}

// connection is one as the kernel names it.
type connection [idSize]byte

// list returns the connections to the ports from addresses that match.
func list(c *netlink.Conn, family uint8, ports []uint16, match func(netip.Addr) bool) ([]connection, error) {
	request := make([]byte, requestSize)
	request[0], request[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(request[4:], states)
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	answers, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: netlink.Request | netlink.Dump}, Data: request,
	})
	if err != nil {
		return nil, err
	}
	var found []connection
	for _, a := range answers {
		if len(a.Data) < messageSize {
			continue
		}
		id := connection(a.Data[messageID : messageID+idSize])
		if slices.Contains(ports, binary.BigEndian.Uint16(id[:])) && match(id.remote(family)) {
			found = append(found, id)
		}
	}
	return found, nil
}

// remote is the address of the other end.
func (id *connection) remote(family uint8) netip.Addr {
	if family == unix.AF_INET {
		return netip.AddrFrom4([4]byte(id[idDest:]))
	}
	return netip.AddrFrom16([16]byte(id[idDest:])).Unmap()
}

// destroy has the kernel end a connection, and both ends be told.
func destroy(c *netlink.Conn, family uint8, id connection) error {
	request := make([]byte, requestSize)
	request[0], request[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(request[4:], states)
	copy(request[requestID:], id[:])
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	_, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.SOCK_DESTROY, Flags: netlink.Request | netlink.Acknowledge}, Data: request,
	})
	return err
}
