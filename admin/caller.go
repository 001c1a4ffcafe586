package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/saslguard/saslguard/admin/api"
)

// caller is who makes a request.
type caller struct {
	name  string // for the audit log and as the maker of bans
	via   string // unix or tcp
	role  string
	from  string // the address, of TCP
	peer  *syscall.Ucred
	local bool // it may do everything
}

// may tells whether the caller's role allows what needs another.
func (c *caller) may(role string) bool { return c.role == RoleOperate || c.role == role }

type peerKey struct{}

// withPeer puts into the context of a connection who is at its other end, where
// the kernel knows: on a Unix socket, unix(7), SO_PEERCRED.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	for {
		wrapped, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = wrapped.NetConn()
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return ctx
	}
	c := &caller{via: "unix", role: RoleOperate, local: true, name: "somebody on this host"}
	if raw, err := unix.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
				c.peer = cred
			}
		})
	}
	return context.WithValue(ctx, peerKey{}, c)
}

// authenticate says who makes a request, and tells of those that nobody known makes.
func (c *Control) authenticate(r *http.Request) (*caller, *api.Error) {
	if peer, ok := r.Context().Value(peerKey{}).(*caller); ok {
		who := *peer
		if who.peer != nil {
			who.name = userName(who.peer.Uid)
		}
		return &who, nil
	}
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || text == "" {
		c.refusals.tell(time.Now(), noToken, r, "")
		return nil, api.Errorf(http.StatusUnauthorized, api.Unauthorized, "a token is needed: Authorization: Bearer TOKEN")
	}
	t := find(*c.tokens.Load(), strings.TrimSpace(text))
	if t == nil {
		c.refusals.tell(time.Now(), wrongToken, r, "")
		return nil, api.Errorf(http.StatusUnauthorized, api.Unauthorized, "the token is not known")
	}
	return &caller{name: t.name, via: "tcp", role: t.role, from: r.RemoteAddr}, nil
}

// userName is the name of a user of this host, or his number. Who has none is
// asked for again each time: there are few who do.
func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	u, err := user.LookupId(id)
	if err != nil || u.Username == "" {
		return "uid " + id
	}
	return u.Username
}

// bounded is a listener that holds at most so many connections. One more is
// closed at once, so that whoever asks knows, instead of waiting.
func bounded(l net.Listener, limit int) net.Listener {
	return &boundedListener{Listener: l, room: make(chan struct{}, limit)}
}

type boundedListener struct {
	net.Listener
	room chan struct{} // holds a token for each connection
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.room <- struct{}{}:
			return &boundedConn{Conn: conn, leave: sync.OnceFunc(func() { <-l.room })}, nil
		default:
			_ = conn.Close()
		}
	}
}

type boundedConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// NetConn returns the connection itself.
func (c *boundedConn) NetConn() net.Conn { return c.Conn }

// String names the caller for the audit log.
func (c *caller) String() string {
	if c.peer != nil {
		return fmt.Sprintf("%s (uid %d, pid %d)", c.name, c.peer.Uid, c.peer.Pid)
	}
	if c.from != "" {
		return c.name + " from " + c.from
	}
	return c.name
}
