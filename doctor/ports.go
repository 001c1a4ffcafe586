package doctor

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/saslguard/saslguard/configs"
)

// taken is an address that saslguard wants, and who has it.
type taken struct {
	key, address string
	port         uint64
	listening    bool
	holder       string // name of its process; "": it cannot be seen
}

// lookAtPorts looks up who listens on the TCP addresses of the configuration.
func lookAtPorts(c *configs.Config) []taken {
	var all []taken
	add := func(key string, addresses ...string) {
		for _, a := range addresses {
			if _, port, err := net.SplitHostPort(a); err == nil && !strings.HasPrefix(a, "unix:") {
				n, _ := strconv.ParseUint(port, 10, 16)
				all = append(all, taken{key: key, address: a, port: n})
			}
		}
	}
	add("postfix.listen", c.Postfix.Listen...)
	add("dovecot.listen", c.Dovecot.Listen...)
	add("admin.listen", c.Admin.Listen)
	add("admin.control.listen", c.Admin.Control.Listen...)
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return all
	}
	inodes := listeners(proc)
	for i := range all {
		t := &all[i]
		if inode, ok := inodes[t.port]; ok {
			t.listening, t.holder = true, holderOf(proc, inode)
		}
	}
	return all
}

// listeners are the inodes of listening TCP sockets by port.
func listeners(proc procfs.FS) map[uint64]uint64 {
	const listening = 0x0a
	inodes := map[uint64]uint64{}
	//lint:ignore SA1019 once, not in a loop: /proc is quick enough, and needs neither netlink nor root.
	for _, read := range []func() (procfs.NetTCP, error){proc.NetTCP, proc.NetTCP6} {
		lines, err := read()
		if err != nil {
			continue
		}
		for _, l := range lines {
			if l.St == listening {
				inodes[l.LocalPort] = l.Inode
			}
		}
	}
	return inodes
}

// holderOf is the name of a process that has a socket open; "" where that
// cannot be seen, as of other users' without root.
func holderOf(proc procfs.FS, inode uint64) string {
	processes, err := proc.AllProcs()
	if err != nil {
		return ""
	}
	want := fmt.Sprintf("socket:[%d]", inode)
	for _, p := range processes {
		targets, err := p.FileDescriptorTargets()
		if err != nil {
			continue
		}
		for _, t := range targets {
			if t == want {
				name, _ := p.Comm()
				return name
			}
		}
	}
	return ""
}

// checkPorts is about addresses that others have.
func checkPorts(r *Report, h *host) {
	for _, t := range h.ports {
		switch {
		case !t.listening && h.running.err == nil && h.o.Config != nil:
			r.wrong("ports", t.address, "systemctl restart saslguard", "saslguard runs, but nobody listens on this %s", t.key)
		case !t.listening:
		case strings.HasPrefix(t.holder, "saslguard") || t.holder == "systemd":
			r.ok("ports", t.address, "%s has %s", t.holder, t.key)
		case t.holder == "" && h.running.err == nil:
			r.ok("ports", t.address, "somebody listens on %s; who it is cannot be seen without root", t.key)
		case t.holder == "":
			r.info("ports", t.address, "Run saslguard doctor as root to see who it is.", "somebody listens on %s, and no saslguard answers", t.key)
		default:
			r.wrong("ports", t.address, fmt.Sprintf("Stop %s, or give saslguard another %s, and Postfix or Dovecot the same", plain(t.holder, maxSubject), t.key),
				"%s listens on this %s", t.holder, t.key)
		}
	}
}
