package daemon

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saslguard/saslguard/configs"
)

func TestStateDirectory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		configured, systemd, xdg, home string
		want                           string // "" is an error
	}{
		"configured":           {dir + "/a", dir + "/b", dir, dir, dir + "/a"},
		"systemd's":            {"", dir + "/b", dir, dir, dir + "/b"},
		"the first of several": {"", dir + "/c:" + dir + "/d", dir, dir, dir + "/c"},
		"the user's":           {"", "", dir + "/xdg", dir, dir + "/xdg/saslguard"},
		"the user's default":   {"", "", "", dir + "/home", dir + "/home/.local/state/saslguard"},
		"relative XDG":         {"", "", "relative", dir + "/home", dir + "/home/.local/state/saslguard"},
		"a file":               {file, "", "", dir, ""},
		"below a file":         {file + "/x", "", "", dir, ""},
		"nowhere":              {"", "", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat(systemState); err == nil && c.configured == "" && c.systemd == "" {
				t.Logf("%s is this machine's, and comes first", systemState)
				c.want = systemState
			}
			t.Setenv("STATE_DIRECTORY", c.systemd)
			t.Setenv("XDG_STATE_HOME", c.xdg)
			t.Setenv("HOME", c.home)
			got, why, err := stateDirectory(c.configured)
			if got != c.want || (err == nil) != (c.want != "") || err == nil && why == "" {
				t.Errorf("%q (%s), %v", got, why, err)
			}
			if st, err := os.Stat(got); c.want != "" && c.want != systemState && (err != nil || st.Mode().Perm() != 0o700) {
				t.Errorf("mode %v, %v", st.Mode(), err)
			}
		})
	}
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	log, level, err := NewLogger(configs.LogConfig{Level: "warn", Format: "auto"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud")
	level.SetLevel(-1)
	for range 10 * sampleFirst {
		log.Debug("an attack")
	}
	text := out.String()
	if strings.Contains(text, "quiet") || !strings.Contains(text, `"msg":"loud"`) || !strings.Contains(text, `"time":"20`) {
		t.Errorf("logged: %.300s", text)
	}
	if n := strings.Count(text, "an attack"); n < sampleFirst || n > 2*sampleFirst {
		t.Errorf("%d of %d equal lines were logged", n, 10*sampleFirst)
	}
	out.Reset()
	log, _, err = NewLogger(configs.LogConfig{Level: "info", Format: "console"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	if log.Info("for people"); strings.HasPrefix(out.String(), "{") || !strings.Contains(out.String(), "INFO for people") {
		t.Errorf("console: %s", &out)
	}
	if _, _, err := NewLogger(configs.LogConfig{Level: "loudly"}, &out); err == nil {
		t.Error("an unknown level is taken")
	}
}
