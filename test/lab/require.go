package lab

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strings"
	"testing"
)

// Need is something the machine must have for a test.
type Need string

// What the lab can start.
const (
	NeedPostfix Need = "Postfix"
	NeedDovecot Need = "Dovecot"
)

// Where Debian 12 puts what the lab runs. Daemons are started by their
// absolute paths: /usr/sbin is often missing in the PATH of a user.
const (
	dovecotPath       = "/usr/sbin/dovecot"
	postfixMasterPath = "/usr/lib/postfix/sbin/master"
)

// Require fails the test when the machine lacks what the needs ask for, and
// says what to install. Without needs it asks for everything. It never skips:
// a skipped end-to-end test looks like a passed one.
func Require(t testing.TB, needs ...Need) {
	t.Helper()
	if len(needs) == 0 {
		needs = []Need{NeedPostfix, NeedDovecot}
	}
	if complaint := missing(needs, exists); complaint != "" {
		t.Fatal(complaint)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// missing describes what is not there for the needs; "" when all of it is.
func missing(needs []Need, exists func(path string) bool) string {
	var lacks, packages []string
	for _, f := range []struct {
		need    Need
		path    string
		pkg     string
		program string
	}{
		{NeedPostfix, postfixMasterPath, "postfix", "Postfix"},
		{NeedDovecot, dovecotPath, "dovecot-core", "Dovecot"},
		{NeedDovecot, "/usr/lib/dovecot/imap", "dovecot-imapd", "Dovecot's IMAP server"},
		{NeedDovecot, "/usr/lib/dovecot/pop3", "dovecot-pop3d", "Dovecot's POP3 server"},
	} {
		if !slices.Contains(needs, f.need) {
			continue
		}
		if !exists(f.path) {
			lacks = append(lacks, fmt.Sprintf("%s: no %s (Debian package %s)", f.program, f.path, f.pkg))
			packages = append(packages, f.pkg)
		}
	}
	if len(packages) == 0 {
		lacks = append(lacks, unsuitable(needs)...)
	}
	if len(lacks) == 0 {
		return ""
	}
	text := "this machine cannot run the lab's servers:\n  " + strings.Join(lacks, "\n  ")
	if len(packages) > 0 {
		text += "\ninstall them with\n  apt-get install --no-install-recommends -y " + strings.Join(packages, " ")
	}
	return text
}

// unsuitable says what installed software, or the user running the test, is
// not fit for.
func unsuitable(needs []Need) []string {
	var lacks []string
	root := os.Geteuid() == 0
	if slices.Contains(needs, NeedPostfix) && !root {
		lacks = append(lacks, fmt.Sprintf("Postfix starts only for root, and this test runs as uid %d (use sudo)", os.Geteuid()))
	}
	var users []string
	if root && slices.Contains(needs, NeedPostfix) {
		users = append(users, postfixUser)
		if _, err := user.LookupGroup(postdropGroup); err != nil {
			lacks = append(lacks, fmt.Sprintf("Postfix: no group %s (is the package configured?)", postdropGroup))
		}
	}
	if root && slices.Contains(needs, NeedDovecot) {
		users = append(users, "dovecot", "dovenull", "nobody")
	}
	for _, name := range users {
		if _, err := user.Lookup(name); err != nil {
			lacks = append(lacks, fmt.Sprintf("no user %s (is the package configured?)", name))
		}
	}
	if slices.Contains(needs, NeedDovecot) {
		out, err := exec.Command(dovecotPath, "--version").Output()
		if version := strings.TrimSpace(string(out)); err != nil || !strings.HasPrefix(version, "2.3.") {
			lacks = append(lacks, fmt.Sprintf("Dovecot: the lab's configuration is for 2.3, %s is %q", dovecotPath, version))
		}
	}
	return lacks
}
