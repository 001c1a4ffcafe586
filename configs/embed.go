package configs

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

//go:embed saslguard.yaml postfix dovecot systemd prometheus grafana
var embedded embed.FS

// defaultsName is the file of the defaults among the embedded ones.
const defaultsName = "saslguard.yaml"

// Defaults returns the commented saslguard.yaml that holds the defaults.
func Defaults() []byte {
	text, err := embedded.ReadFile(defaultsName)
	if err != nil {
		panic(err) // it is embedded above
	}
	return text
}

// Snippets lists the embedded files by name, such as
// "dovecot/2.3/90-saslguard.conf".
func Snippets() []string {
	var names []string
	// The walk cannot fail: everything is in the program.
	_ = fs.WalkDir(embedded, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	slices.Sort(names)
	return names
}

// SnippetsBelow lists those in a folder, such as dovecot or dovecot/2.3.
func SnippetsBelow(folder string) []string {
	folder = strings.TrimSuffix(folder, "/") + "/"
	return slices.DeleteFunc(Snippets(), func(name string) bool { return !strings.HasPrefix(name, folder) })
}

// Snippet returns an embedded file by its name.
func Snippet(name string) ([]byte, error) {
	text, err := embedded.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("there is no %q; there are\n  %s", name, strings.Join(Snippets(), "\n  "))
	}
	return text, nil
}
