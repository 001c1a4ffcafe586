package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/saslguard/saslguard/admin"
	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/listen"
)

// systemState is the state directory of an installed saslguard.
const systemState = "/var/lib/saslguard"

// stateDirectory returns the directory in which state is kept, and why it is
// that one: the configured one; else $STATE_DIRECTORY, which systemd sets; else
// /var/lib/saslguard if it can be written to; else saslguard in the XDG state
// directory of the user. It is made if it does not exist, for nobody else to
// read, since it holds logins.
func stateDirectory(configured string) (dir, why string, err error) {
	if dir, why, err = chooseState(configured); err != nil || why == theSystem {
		return dir, why, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", fmt.Errorf("the state directory cannot be made: %w; set state_directory to one that can be written to", err)
	}
	if !writable(dir) {
		return "", "", fmt.Errorf("the state directory %s cannot be written to; set state_directory to one that can", dir)
	}
	return dir, why, nil
}

// theSystem is why a state directory is that of an installed saslguard, which is
// known to be there.
const theSystem = "the system's"

// chooseState is stateDirectory without making anything.
func chooseState(configured string) (dir, why string, err error) {
	switch {
	case configured != "":
		return configured, "state_directory", nil
	case os.Getenv("STATE_DIRECTORY") != "":
		// systemd separates several by colons; the first is ours.
		return filepath.SplitList(os.Getenv("STATE_DIRECTORY"))[0], "$STATE_DIRECTORY", nil
	case writable(systemState):
		return systemState, theSystem, nil
	}
	dir, err = userState()
	return dir, "the user's", err
}

// FindControl returns the control socket of the saslguard that runs with a
// configuration: the one that is configured, or the one that is found where a
// daemon would have put it.
func FindControl(c *configs.Config) (string, error) {
	switch s := c.Admin.Control.Socket; s {
	case "":
	case admin.NoSocket:
		return "", errors.New("admin.control.socket is none, so nobody can be asked; --server asks over TCP")
	default:
		return s, nil
	}
	state, _, err := chooseState(c.StateDirectory)
	if err != nil {
		state = "" // there is none, and so no socket in it
	}
	return listen.FindControl(state)
}

func userState() (string, error) {
	if x := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(x) {
		return filepath.Join(x, "saslguard"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(home) {
		return "", errors.New("there is no directory for the state: set state_directory, or $HOME")
	}
	return filepath.Join(home, ".local", "state", "saslguard"), nil
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
