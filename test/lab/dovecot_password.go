package lab

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// SetPassword replaces the password of a user in Dovecot's database, and returns when
// Dovecot knows it.
func (d *Dovecot) SetPassword(user, password string) error {
	path := filepath.Join(d.Dir, "users")
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var changed strings.Builder
	for line := range strings.Lines(string(old)) {
		if strings.HasPrefix(line, user+":") {
			line = user + ":{PLAIN}" + password + "\n"
		}
		changed.WriteString(line)
	}
	if err := os.WriteFile(path+".new", []byte(changed.String()), 0o644); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	time.Sleep(1100 * time.Millisecond) // Dovecot looks at the file once a second
	return nil
}
