package lab

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/saslguard/saslguard/test/netns"
)

// StartRelay has a server of the lab's reached from a world: what connects to the
// port there, on any address, is handed on to the server's port for the PROXY
// protocol, with the address it came from. Programs that know no such protocol can so
// be clients with addresses of their own, and what the world's firewall drops does not
// come.
func StartRelay(t testing.TB, w *netns.World, port int, to netip.AddrPort) {
	t.Helper()
	var l net.Listener
	if err := w.Inside(func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf("[::]:%d", port))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	r := &relay{to: to, open: map[net.Conn]bool{}}
	t.Cleanup(func() {
		l.Close()
		r.close()
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.pass(c)
		}
	}()
}

// relay knows what is open, to end it with the test.
type relay struct {
	to netip.AddrPort

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]bool
}

func (r *relay) pass(client net.Conn) {
	defer r.drop(client)
	server, err := net.Dial("tcp", r.to.String())
	if err != nil {
		return
	}
	defer r.drop(server)
	if !r.keep(client, server) {
		return
	}
	from := client.RemoteAddr().(*net.TCPAddr).AddrPort()
	if _, err := server.Write(ProxyV1(from, r.to)); err != nil {
		return
	}
	go func() {
		io.Copy(server, client)
		r.drop(server) // the client has gone
	}()
	io.Copy(client, server)
}

func (r *relay) keep(cs ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range cs {
		r.open[c] = true
	}
	return !r.closed
}

func (r *relay) drop(c net.Conn) {
	c.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, c)
}

func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for c := range r.open {
		c.Close()
	}
}
