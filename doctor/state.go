package doctor

import (
	"os"

	"golang.org/x/sys/unix"
)

// stateFacts are about the directory of bans and scores.
type stateFacts struct {
	dir  string
	mode os.FileMode
	free uint64 // octets that its user may still write
}

const (
	systemState = "/var/lib/saslguard"
	minFree     = 100 << 20
)

// lookAtState looks at the configured state directory, or the system's; nil if
// there is none.
func lookAtState(configured string) *stateFacts {
	s := &stateFacts{dir: configured}
	if s.dir == "" {
		s.dir = systemState
	}
	// Through a link, as systemd makes them for DynamicUser=.
	info, err := os.Stat(s.dir)
	if err != nil || !info.IsDir() {
		return nil
	}
	s.mode = info.Mode().Perm()
	var fs unix.Statfs_t
	if unix.Statfs(s.dir, &fs) == nil {
		s.free = fs.Bavail * uint64(fs.Bsize)
	}
	return s
}

func checkState(r *Report, h *host) {
	s := h.state
	if s == nil {
		return
	}
	if s.mode&0o077 != 0 {
		r.wrong("state-mode", s.dir, "chmod 700 "+s.dir, "others can look into the state directory (mode %04o), which has logins", s.mode)
	} else {
		r.ok("state-mode", s.dir, "only saslguard can look into the state directory")
	}
	if s.free < minFree {
		r.wrong("state-space", s.dir, "Make room, or set state_directory to another disk.", "there are %d MiB left on its disk", s.free>>20)
	} else {
		r.ok("state-space", s.dir, "there are %d MiB left on its disk", s.free>>20)
	}
}
