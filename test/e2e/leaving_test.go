package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/test/lab"
	"github.com/saslguard/saslguard/test/pages"
)

// TestLeavingFail2ban runs the commands that docs/install.md prints for it, in a shell,
// with a fail2ban that has banned clients.
func TestLeavingFail2ban(t *testing.T) {
	t.Parallel()
	const jail = "postfix" // of the lab; Debian's with the same filter is postfix-sasl
	f := lab.StartFail2ban(t, lab.Jail{MaxRetry: 3, FindTime: 10 * time.Minute, BanTime: time.Hour})
	banned := []string{"203.0.113.1", "203.0.113.2", "2001:db8:1::7"}
	var scenes []scene
	for _, client := range banned {
		scenes = append(scenes, fails(client, every(3, 1, 0)...))
	}
	log := scenesLog(jail, scenes, time.Now().Add(-time.Minute))
	if err := f.Append(jail, log); err != nil {
		t.Fatal(err)
	}
	for _, client := range banned {
		if err := f.WaitBanned(jail, client, 30*time.Second); err != nil {
			t.Fatal(err)
		}
	}

	p := newProgram(t)
	p.write(t, "mode: enforce\n")
	p.start(t)
	dir := lab.Dir(t)
	mailLog := filepath.Join(dir, "mail.log")
	saslguard := fmt.Sprintf("#!/bin/sh\nexec %s \"$@\"\n", p.bin)
	client := fmt.Sprintf("#!/bin/sh\nexec %s \"$@\"\n", strings.Join(f.Client(), " "))
	for path, text := range map[string]string{mailLog: log, filepath.Join(dir, "saslguard"): saslguard, filepath.Join(dir, "fail2ban-client"): client} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sh := func(script string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-ec", script)
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "RUNTIME_DIRECTORY="+filepath.Dir(p.control))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return string(out)
	}

	printed := strings.Join(pages.Under(t, "docs/install.md", "Beside fail2ban, and how to leave it"), "\n")
	for _, from := range []string{"/var/log/mail.log", "get postfix-sasl "} {
		if !strings.Contains(printed, from) {
			t.Fatalf("the commands no longer have %q:\n%s", from, printed)
		}
	}
	printed = strings.NewReplacer("/var/log/mail.log", mailLog, "get postfix-sasl ", "get "+jail+" ").Replace(printed)
	t.Log(sh(printed))

	var bans, allowed api.Entries
	fromJSON(t, sh("saslguard bans -o json"), &bans)
	var took []string
	for _, e := range bans.Entries {
		if e.Reason != "from fail2ban" || e.Until == nil || time.Until(*e.Until) < 6*24*time.Hour {
			t.Errorf("%+v", e)
		}
		took = append(took, e.Prefix)
	}
	slices.Sort(took)
	if want := []string{"2001:db8:1::7/128", "203.0.113.1/32", "203.0.113.2/32"}; !slices.Equal(took, want) {
		t.Errorf("banned are %q, want %q", took, want)
	}
	fromJSON(t, sh("saslguard allow list -o json"), &allowed)
	if len(allowed.Entries) != 1 || allowed.Entries[0].Prefix != "192.0.2.0/28" {
		t.Errorf("allowed are %+v", allowed.Entries)
	}

	// Scripts find the same lines in both, but for fail2ban's list of files.
	label := regexp.MustCompile(`:\s.*`)
	theirs := label.ReplaceAllString(sh("fail2ban-client status "+jail), "")
	for line := range strings.Lines(label.ReplaceAllString(sh("saslguard status --brief"), "")) {
		if !strings.Contains(theirs, line) {
			t.Errorf("fail2ban has no line %q:\n%s", line, theirs)
		}
	}
}
