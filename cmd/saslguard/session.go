package main

import (
	"net/netip"
	"os"
	"strings"

	"github.com/prometheus/procfs"
)

// maxParents bounds the walk from this process to the one that sshd has started.
const maxParents = 32

// session is the address from which the administrator is logged in by SSH; "" where
// it is not known. sudo and su keep that from this process, so its parents are asked
// too, as far as they may be looked at.
func session() string {
	if a, said := sessionIn(os.Environ()); said {
		return a
	}
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return ""
	}
	pid := os.Getppid()
	for range maxParents {
		parent, err := proc.Proc(pid)
		if err != nil {
			return ""
		}
		if variables, err := parent.Environ(); err == nil {
			if a, said := sessionIn(variables); said {
				return a
			}
		}
		stat, err := parent.Stat()
		if err != nil || stat.PPID <= 1 {
			return ""
		}
		pid = stat.PPID
	}
	return ""
}

// sessionIn is the address that sshd has put into variables, the first word of
// SSH_CONNECTION and SSH_CLIENT, and whether there is one of those at all: sshd
// writes UNKNOWN where it knows no address.
func sessionIn(variables []string) (address string, said bool) {
	for _, name := range []string{"SSH_CONNECTION", "SSH_CLIENT"} {
		for _, v := range variables {
			value, ok := strings.CutPrefix(v, name+"=")
			if !ok {
				continue
			}
			said = true
			if fields := strings.Fields(value); len(fields) > 0 {
				if a, err := netip.ParseAddr(fields[0]); err == nil {
					return a.WithZone("").String(), true
				}
			}
		}
	}
	return "", said
}
