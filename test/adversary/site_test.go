package adversary

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
)

const (
	right   = "right horse battery"
	nonce   = "adversary"
	hashKey = "0123456789abcdef0123456789abcdef"
)

// plan says what a site is like.
type plan struct {
	hosts int      // 0 is 1
	redis bool     // the hosts share one
	users []string // each with the right password; none: user(0) to user(9)
	args  []string // more of saslguard serve, of every host
	// unguarded leaves saslguard out: Postfix and Dovecot ask nobody.
	unguarded bool
	// activated has the policy sockets kept open while saslguard is away, as
	// systemd does it.
	activated bool
	// atOnce has Dovecot answer wrong passwords without its half a second.
	atOnce bool
	// postfix and dovecot are lines added to main.cf and to dovecot.conf.
	postfix, dovecot string
}

// site is mail hosts as the shipped snippets connect them.
type site struct {
	*testing.T
	hosts []*host
	redis *lab.Redis
}

// host is saslguard, Dovecot and Postfix.
type host struct {
	*testing.T
	name                                                 string
	bin, state, postfixAddr, dovecotAddr, admin, control string
	args                                                 []string
	sockets                                              []lab.Socket // kept open for saslguard

	guard            *lab.Process
	dovecot          *lab.Dovecot
	postfix          *lab.Postfix
	imap, pop3, smtp lab.Login
}

// in is the site as a test within the test sees it.
func (s *site) in(t *testing.T) *site { return &site{T: t, hosts: s.hosts, redis: s.redis} }

// user is the login of the i-th user of a site.
func user(i int) string { return fmt.Sprintf("user%d@lab.test", i) }

// users is the logins of the first n.
func users(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = user(i)
	}
	return all
}

// newSite starts a site that enforces. In the long form delays are the shipped ones; in
// the short one there are none but Dovecot's half a second.
func newSite(t *testing.T, p plan) *site {
	t.Helper()
	lab.Require(t, lab.NeedPostfix, lab.NeedDovecot, lab.NeedRedis)
	s := &site{T: t}
	if p.redis {
		s.redis = lab.StartRedis(t, lab.RedisOptions{})
	}
	if p.users == nil {
		p.users = users(10)
	}
	for i := range max(p.hosts, 1) {
		s.hosts = append(s.hosts, s.newHost(fmt.Sprintf("host%d", i), p))
	}
	for _, h := range s.hosts {
		if s.redis != nil && !p.unguarded {
			h.waitForRedis(true)
		}
	}
	return s
}

func (s *site) newHost(name string, p plan) *host {
	s.Helper()
	addr := func() string { return fmt.Sprintf("127.0.0.1:%d", lab.FreePort(s)) }
	h := &host{
		T: s.T, name: name, bin: lab.Build(s), state: s.TempDir(), args: p.args,
		postfixAddr: addr(), dovecotAddr: addr(), admin: addr(), control: filepath.Join(lab.Dir(s), "control.sock"),
	}
	if !*long {
		h.args = append([]string{"--set", "rules.tarpit.held_dovecot=0", "--set", "rules.tarpit.held_postfix=0"}, h.args...)
	}
	if s.redis != nil {
		h.args = append(h.args, "--set", "redis.addresses="+s.redis.Addr, "--set", "redis.hash_key="+hashKey)
	}
	if s.redis != nil && !*long {
		// Everything runs at once, on a machine with perhaps two cores: what shall be
		// seen is the rules, and not how late Redis is then.
		h.args = append(h.args, "--set", "redis.timeouts.call=900ms", "--set", "redis.timeouts.io=900ms", "--set", "redis.timeouts.pool=900ms")
	}
	passwords := map[string]string{}
	for _, u := range p.users {
		passwords[u] = right
	}
	d := lab.DovecotOptions{Users: passwords, Extra: p.dovecot, AtOnce: p.atOnce}
	if *long {
		d.FailureDelay = 2 * time.Second // Dovecot's own
	}
	m := lab.PostfixOptions{HardErrorLimit: 100, Main: "smtpd_soft_error_limit = 100\n" + p.postfix}
	if p.activated {
		h.sockets = []lab.Socket{h.listen("postfix", &h.postfixAddr), h.listen("dovecot", &h.dovecotAddr)}
	}
	if !p.unguarded {
		h.startGuard()
		d.Extra = lab.DovecotSnippet(s, h.dovecotAddr, nonce) + p.dovecot
		m.ClientRestrictions = lab.PostfixService(s, h.postfixAddr, "submission")
		m.MXRestrictions = lab.PostfixService(s, h.postfixAddr, "mx")
	}
	h.dovecot = lab.StartDovecot(s, d)
	m.SASLPath = h.dovecot.SASLPath
	h.postfix = lab.StartPostfix(s, m)
	h.imap, h.pop3 = h.dovecot.IMAPLogin(lab.NoMechanism), h.dovecot.POP3Login(lab.NoMechanism)
	h.smtp = h.postfix.SMTPProxyLogin(lab.Plain)
	return h
}

// startGuard runs saslguard and waits until it serves.
func (h *host) startGuard() {
	h.Helper()
	args := append([]string{
		"serve", "--enforce", "--state", h.state, "--postfix", h.postfixAddr, "--dovecot", h.dovecotAddr,
		"--set", "host=" + h.name, "--set", "admin.listen=" + h.admin, "--set", "admin.control.socket=" + h.control,
	}, h.args...)
	h.guard = lab.StartActivated(h, h.bin, args, nil, h.sockets...)
	if _, err := h.guard.WaitLine("metrics and health", 20*time.Second); err != nil {
		h.Fatalf("saslguard does not start: %v", err)
	}
}

// listen opens a socket that stays open until the test ends, on an address that it
// notes.
func (h *host) listen(name string, addr *string) lab.Socket {
	h.Helper()
	l, err := net.Listen("tcp", *addr)
	for tries := 0; err != nil && tries < 5; tries++ { // another test may have taken it
		*addr = fmt.Sprintf("127.0.0.1:%d", lab.FreePort(h))
		l, err = net.Listen("tcp", *addr)
	}
	if err != nil {
		h.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { f.Close() })
	return lab.Socket{Name: name, File: f}
}

// waitForRedis waits until the host shares what it knows, or has stopped to.
func (h *host) waitForRedis(up bool) {
	h.Helper()
	h.eventually(15*time.Second, "the health of Redis", func() bool {
		health := h.get("/healthz")
		return health != "" && strings.Contains(health, `"Redis answers`) == up
	})
}

// get is what the host's port for metrics and health answers; "" if it does not.
func (h *host) get(path string) string {
	res, err := (&http.Client{Timeout: 10 * time.Second}).Get("http://" + h.admin + path)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return ""
	}
	return string(body)
}

func (h *host) eventually(within time.Duration, what string, done func() bool) {
	h.Helper()
	for deadline := time.Now().Add(within); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.Fatalf("%s: %s: not within %s", h.name, what, within)
		}
	}
}

// logins are the ways to log in, over all hosts: IMAP, POP3 and SMTP of the first,
// then of the next.
func (s *site) logins() []lab.Login {
	var all []lab.Login
	for _, h := range s.hosts {
		all = append(all, h.imap, h.pop3, h.smtp)
	}
	return all
}

// verified counts the passwords that the databases of all hosts were asked for.
func (s *site) verified(want func(user, client string) bool) int {
	s.Helper()
	n := 0
	for _, h := range s.hosts {
		n += h.dovecot.VerifiedWhere(s, want)
	}
	return n
}

// ofUser and ofClient are what verified may be asked for.
func ofUser(user string) func(string, string) bool {
	return func(u, _ string) bool { return u == user }
}

func ofClient(client string) func(string, string) bool {
	return func(_, c string) bool { return c == client }
}

// wrong returns n wrong passwords for a user, with different hashes.
func wrong(user, salt string, n int) []string { return lab.WrongPasswords(nonce, user, right, salt, n) }

// try logs in, and fails the test where the server does not answer.
func (s *site) try(by lab.Login, client, user, password string) lab.Result {
	s.Helper()
	r, err := by(netip.MustParseAddr(client), user, password)
	if err != nil {
		s.Fatalf("%s from %s: %v", user, client, err)
	}
	return r
}

// mustEnter wants an owner to be let in, and returns how long it took.
func (s *site) mustEnter(by lab.Login, client, user string) time.Duration {
	s.Helper()
	r := s.try(by, client, user, right)
	if !r.Accepted {
		s.Errorf("%s from %s is not let in with the right password: at %s: %s", user, client, r.Stage, r.Text)
	}
	return r.Took
}
