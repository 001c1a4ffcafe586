package lab

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Need is something the machine must have for a test.
type Need string

// What the lab can start.
const (
	NeedPostfix    Need = "Postfix"
	NeedDovecot    Need = "Dovecot"
	NeedRedis      Need = "Redis"
	NeedNamespaces Need = "network namespaces"
	NeedFail2ban   Need = "fail2ban"
	NeedGuessers   Need = "programs that guess passwords"
	NeedHAProxy    Need = "HAProxy"
	NeedCyrusSASL  Need = "Cyrus SASL"
)

// Where Debian 12 puts what the lab runs. Daemons are started by their
// absolute paths: /usr/sbin is often missing in the PATH of a user.
const (
	dovecotPath       = "/usr/sbin/dovecot"
	postfixMasterPath = "/usr/lib/postfix/sbin/master"
	ipPath            = "/usr/sbin/ip"
	nftPath           = "/usr/sbin/nft"
	nsenterPath       = "/usr/bin/nsenter"
	unsharePath       = "/usr/bin/unshare"
	haproxyPath       = "/usr/sbin/haproxy"
	saslauthdPath     = "/usr/sbin/saslauthd"
	saslpasswdPath    = "/usr/sbin/saslpasswd2"
)

// redisPath is the server that is meant by Redis: another where $LAB_REDIS says so, such
// as /usr/bin/valkey-server.
func redisPath() string { return cmp.Or(os.Getenv("LAB_REDIS"), "/usr/bin/redis-server") }

// Require fails the test when the machine lacks what the needs ask for, and
// says what to install. Without needs it asks for everything. It never skips:
// a skipped end-to-end test looks like a passed one.
func Require(t testing.TB, needs ...Need) {
	t.Helper()
	if len(needs) == 0 {
		needs = []Need{NeedPostfix, NeedDovecot, NeedRedis, NeedNamespaces, NeedFail2ban, NeedGuessers, NeedHAProxy, NeedCyrusSASL}
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
		{NeedRedis, redisPath(), "redis-server", "Redis"},
		{NeedFail2ban, fail2banPath, "fail2ban", "fail2ban"},
		{NeedGuessers, "/usr/bin/hydra", "hydra", "hydra"},
		{NeedGuessers, "/usr/bin/ncrack", "ncrack", "ncrack"},
		{NeedHAProxy, haproxyPath, "haproxy", "HAProxy"},
		{NeedCyrusSASL, saslauthdPath, "sasl2-bin", "saslauthd"},
		{NeedCyrusSASL, saslpasswdPath, "sasl2-bin", "saslpasswd2"},
		{NeedNamespaces, ipPath, "iproute2", "network namespaces"},
		{NeedNamespaces, nftPath, "nftables", "network namespaces"},
		{NeedNamespaces, nsenterPath, "util-linux", "network namespaces"},
		{NeedNamespaces, unsharePath, "util-linux", "network namespaces"},
	} {
		if !slices.Contains(needs, f.need) {
			continue
		}
		if !exists(f.path) {
			lacks = append(lacks, fmt.Sprintf("%s: no %s (Debian package %s)", f.program, f.path, f.pkg))
			if !slices.Contains(packages, f.pkg) {
				packages = append(packages, f.pkg)
			}
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
		if version := dovecotVersion(); !strings.HasPrefix(version, "2.3.") && !Dovecot24() {
			lacks = append(lacks, fmt.Sprintf("Dovecot: the lab's configuration is for 2.3 and 2.4, %s is %q", dovecotPath, version))
		}
	}
	if slices.Contains(needs, NeedRedis) {
		out, err := exec.Command(redisPath(), "--version").Output()
		if version := string(out); err != nil || !isRecentRedis(version) {
			lacks = append(lacks, fmt.Sprintf("Redis: the lab needs version 7 or later, %s is %q", redisPath(), strings.TrimSpace(version)))
		}
	}
	if slices.Contains(needs, NeedNamespaces) {
		// Root of a container may be without the capability.
		if out, err := exec.Command(unsharePath, "--net", "/bin/true").CombinedOutput(); err != nil {
			lacks = append(lacks, fmt.Sprintf("network namespaces: uid %d cannot make one (root with CAP_SYS_ADMIN can): %s",
				os.Geteuid(), strings.TrimSpace(string(out))))
		}
	}
	return lacks
}

// isRecentRedis reads "Redis server v=7.0.15 sha=…", or "Valkey server v=8.1.1 sha=…". Version 7 brought
// cluster-port and SENTINEL DEBUG.
func isRecentRedis(version string) bool {
	_, number, _ := strings.Cut(version, " v=")
	major, _, _ := strings.Cut(number, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= 7
}
