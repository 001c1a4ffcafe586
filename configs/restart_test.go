package configs

import (
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestRestart holds that saslguard.yaml marks the keys that a reload does not
// take over, and no others.
func TestRestart(t *testing.T) {
	want := []string{
		"state_directory", "host", "stop_timeout", "log.format",
		"postfix.listen", "postfix.socket_mode", "postfix.socket_owner",
		"dovecot.listen", "dovecot.socket_mode", "dovecot.socket_owner",
		"dovecot.max_connections", "dovecot.max_body", "dovecot.idle_timeout", "dovecot.read_timeout",
		"admin.listen", "events.keep", "events.max",
		"admin.control.socket", "admin.control.socket_mode", "admin.control.socket_owner", "admin.control.listen",
	}
	want = append(want,
		"firewall.enabled", "firewall.backend", "firewall.socket_owner", "firewall.table", "firewall.exec.command", "firewall.exec.timeout",
	)
	schema().child("store").walk(func(f *field) {
		if f.kind != section {
			want = append(want, f.key)
		}
	})
	var doc yaml.Node
	if err := yaml.Unmarshal(Defaults(), &doc); err != nil {
		t.Fatal(err)
	}
	got := marked(doc.Content[0], "")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("marked are\n%q, want\n%q", got, want)
	}
}

// marked are the keys with "(restart)" above them.
func marked(n *yaml.Node, key string) (keys []string) {
	for i := 0; i < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		// Of the first key YAML takes the head of the file for its comment.
		own := name.HeadComment[strings.LastIndex(name.HeadComment, "\n\n")+1:]
		if strings.HasPrefix(strings.TrimSpace(own), "# (restart) ") {
			keys = append(keys, join(key, name.Value))
		}
		if value.Kind == yaml.MappingNode {
			keys = append(keys, marked(value, join(key, name.Value))...)
		}
	}
	return keys
}
