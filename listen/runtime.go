package listen

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// systemRuntime is the runtime directory of an installed saslguard.
	systemRuntime = "/run/saslguard"
	// ControlSocket is the name of the control socket in the runtime directory.
	ControlSocket = "control.sock"
)

// RuntimeDirectory returns the directory for sockets that nobody has configured,
// and why it is that one: $RUNTIME_DIRECTORY, which systemd sets; else
// /run/saslguard if it can be written to; else saslguard in $XDG_RUNTIME_DIR,
// which is made if need be; else the state directory. One in which the path of a
// socket would be too long for the system is passed over. "" for state is none.
func RuntimeDirectory(state string) (dir, why string, err error) {
	for _, c := range runtimeDirectories(state) {
		switch {
		case !c.fits():
			continue
		case c.dir == systemRuntime && c.why != systemdRuntime && !writable(c.dir):
			continue
		case c.why == userRuntime:
			_ = os.Mkdir(c.dir, 0o700) // it may exist; whether it will do is seen next
			if !writable(c.dir) {
				continue
			}
		}
		return c.dir, c.why, nil
	}
	return "", "", errors.New("there is no directory for the socket that can be written to and whose path is short enough: $RUNTIME_DIRECTORY, " +
		systemRuntime + ", saslguard in $XDG_RUNTIME_DIR, the state directory")
}

// FindControl returns the control socket of the saslguard that runs here: the
// first that is in one of the directories where RuntimeDirectory could have put
// it. Its error says where it was looked for, or that this user may not look.
func FindControl(state string) (string, error) {
	return FindSocket(state, ControlSocket, "no saslguard runs here, or its control socket is somewhere else (--socket)")
}

// FindSocket is FindControl for a socket of another name; missing begins the error
// if there is none.
func FindSocket(state, name, missing string) (string, error) {
	var looked []string
	for _, c := range runtimeDirectories(state) {
		path := filepath.Join(c.dir, name)
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrPermission):
			return "", fmt.Errorf("%s: permission denied; be root, or a member of the group that may enter %s", path, c.dir)
		case err == nil && info.Mode().Type() == fs.ModeSocket:
			return path, nil
		}
		looked = append(looked, path)
	}
	return "", fmt.Errorf("%s: there is none at %s", missing, strings.Join(looked, ", "))
}

// What the directories are, in words.
const (
	systemdRuntime = "$RUNTIME_DIRECTORY"
	theSystem      = "the system's"
	userRuntime    = "the user's"
	theState       = "the state directory"
)

type runtimeCandidate struct{ dir, why string }

func (c runtimeCandidate) fits() bool {
	return checkPath(filepath.Join(c.dir, ControlSocket)) == nil
}

// runtimeDirectories are those that come into question, in their order.
func runtimeDirectories(state string) []runtimeCandidate {
	var all []runtimeCandidate
	// systemd separates several by colons; the first is ours.
	if dirs := filepath.SplitList(os.Getenv("RUNTIME_DIRECTORY")); len(dirs) > 0 && filepath.IsAbs(dirs[0]) {
		all = append(all, runtimeCandidate{dirs[0], systemdRuntime})
	}
	all = append(all, runtimeCandidate{systemRuntime, theSystem})
	if x := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(x) {
		all = append(all, runtimeCandidate{filepath.Join(x, "saslguard"), userRuntime})
	}
	if filepath.IsAbs(state) {
		all = append(all, runtimeCandidate{filepath.Clean(state), theState})
	}
	return all
}

// writable tells whether files can be made in a directory, by making one.
func writable(dir string) bool {
	f, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return false
	}
	name := f.Name()
	return errors.Join(f.Close(), os.Remove(name)) == nil
}
