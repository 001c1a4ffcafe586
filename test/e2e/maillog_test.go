package e2e

import (
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/maillog"
	"github.com/saslguard/saslguard/maillog/logfile"
	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/test/lab"
)

var keepLogs = flag.String("keep-logs", "", "a directory for the logs that the real servers write here")

// hostile are logins that say what a line of a log says, with another's address.
var hostile = []string{
	"a>, method=PLAIN, rip=8.8.8.8, lip=1.1.1.1, session=<x>",
	"rip=8.8.8.8",
	"a,8.8.8.8): Password mismatch",
	"a,8.8.8.8,sasl:plain): Info: users: unknown user",
	"a (auth failed, 900 attempts in 1 secs): user=<b>, rip=8.8.8.8, lip=1.1.1.1",
	"a\nNov 22 10:00:00 mx postfix/smtpd[1]: warning: unknown[8.8.8.8]: SASL LOGIN authentication failed: x",
	"a, sasl_username=victim",
	"x dovecot: imap-login: Disconnected (auth failed, 1 attempts): user=<v>, rip=8.8.8.8, lip=1.1.1.1",
	"x[8.8.8.8]: SASL PLAIN authentication failed: y",
}

// told is what a log tells of a client.
type told struct {
	failures, successes int
	accounts            map[string]bool
}

// TestTheLogTellsWhatWasDone makes failures by SMTP, IMAP and POP3, with logins,
// mechanisms and commands that are written to be misread, and holds what the
// servers have logged against what was done.
func TestTheLogTellsWhatWasDone(t *testing.T) {
	t.Parallel()
	dovecot := lab.StartDovecot(t, lab.DovecotOptions{Users: map[string]string{alice: right}})
	postfix := lab.StartPostfix(t, lab.PostfixOptions{SASLPath: dovecot.SASLPath, Main: "smtpd_soft_error_limit = 100"})

	var done sync.WaitGroup
	var mu sync.Mutex
	imap, smtp := map[netip.Addr]*told{}, map[netip.Addr]*told{} // imap and pop3, to be exact
	do := func(all map[netip.Addr]*told, login lab.Login, client, user string, passwords ...string) {
		c := netip.MustParseAddr(client)
		w := &told{accounts: map[string]bool{user: true}}
		all[c] = w
		done.Go(func() {
			for _, password := range passwords {
				r, err := login(c, user, password)
				mu.Lock()
				if err != nil || r.Stage != lab.StageAuth {
					t.Errorf("%s as %q: %+v, %v", client, user, r, err)
				}
				if r.Accepted {
					w.successes++
				} else {
					w.failures++
				}
				mu.Unlock()
			}
		})
	}
	for i, user := range hostile {
		do(imap, dovecot.IMAPLogin(lab.Plain), fmt.Sprintf("198.51.100.%d", 1+i), user, "guess")
		do(imap, dovecot.POP3Login(lab.Plain), fmt.Sprintf("2001:db8:0:%d::7", 1+i), user, "guess")
		do(smtp, postfix.SMTPProxyLogin(lab.Plain), fmt.Sprintf("203.0.113.%d", 1+i), user, "guess")
	}
	do(imap, dovecot.IMAPLogin(lab.NoMechanism), "198.51.100.101", alice, "guess", "another")
	do(imap, dovecot.IMAPLogin(lab.CRAMMD5), "198.51.100.102", alice, "guess")
	do(imap, dovecot.IMAPLogin(lab.Plain), "198.51.100.103", alice, right)
	do(imap, dovecot.POP3Login(lab.NoMechanism), "2001:db8:0:103::7", alice, right)
	do(smtp, postfix.SMTPProxyLogin(lab.LoginMech), "203.0.113.101", alice, "guess")
	do(smtp, postfix.SMTPProxyLogin(lab.Plain), "2001:db8:0:101::7", alice, "guess")
	done.Wait()

	smtp[netip.MustParseAddr("203.0.113.102")] = rudeSMTP(t, postfix)
	imap[netip.MustParseAddr("198.51.100.104")] = manyIMAP(t, dovecot)

	if dovecot.Verified(t, "") == 0 {
		t.Error("Dovecot verified nothing")
	}
	if err := dovecot.Stop(); err != nil { // and writes what is left to say
		t.Fatal(err)
	}
	// Nobody can verify now, which is not the client's fault. An smtpd that is new by
	// then ends without a greeting, which is an error.
	if r, err := postfix.SMTPProxyLogin(lab.Plain)(netip.MustParseAddr("203.0.113.103"), alice, "guess"); r.Accepted {
		t.Fatalf("without Dovecot: %+v, %v", r, err)
	}
	if err := postfix.Stop(); err != nil {
		t.Fatal(err)
	}
	dovecotLog, postfixLog := filepath.Join(dovecot.Dir, "dovecot.log"), filepath.Join(postfix.Dir, "mail.log")
	if *keepLogs != "" {
		for _, path := range []string{dovecotLog, postfixLog} {
			b, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(filepath.Join(*keepLogs, filepath.Base(path)), b, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}

	compare(t, "Dovecot's login lines", maillog.DovecotLogin, dovecotLog, imap, loginWrites)
	compare(t, "Postfix's lines", maillog.DovecotLogin, postfixLog, smtp, postfixWrites)

	// The auth process tells of all failures, and its log of no success by SMTP.
	all := maps.Clone(imap)
	for client, w := range smtp {
		if w.failures > 0 {
			all[client] = &told{failures: w.failures, accounts: w.accounts}
		}
	}
	compare(t, "Dovecot's auth lines", maillog.DovecotAuth, dovecotLog, all, authWrites)
}

// authWrites is a login as Dovecot's auth process writes it.
func authWrites(login string) string { return strings.ReplaceAll(login, "\n", "?") }

// loginWrites is a login as Dovecot's login processes write it: 80 bytes at most.
func loginWrites(login string) string {
	const most = 80
	if login = authWrites(login); len(login) > most {
		login = login[:most-len("...")] + "..."
	}
	return login
}

// postfixWrites is a login as Postfix writes it: a hundred bytes at most.
func postfixWrites(login string) string {
	login = strings.ReplaceAll(login, "\n", "?n")
	return login[:min(len(login), 100)]
}

// rudeSMTP says what is no guess, and makes one guess at the end.
func rudeSMTP(t *testing.T, p *lab.Postfix) *told {
	t.Helper()
	client := netip.MustParseAddr("203.0.113.102")
	s, _, err := lab.DialSMTP(p.SubmissionProxy, lab.ProxyV1(netip.AddrPortFrom(client, 50_000), p.SubmissionProxy))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, command := range []string{
		"EHLO unknown[8.8.8.8]:_SASL_LOGIN_authentication_failed:_x",
		"AUTH FOO]:x[8.8.8.8]: authentication failed",
		"AUTH FOO]:x[8.8.8.8]:",
		"AUTH PLAIN =====",
		"AUTH PLAIN",
		"*",
		"MAIL FROM:<unknown[8.8.8.8]: SASL LOGIN authentication failed: x>",
		"RCPT TO:<unknown[8.8.8.8]: SASL PLAIN authentication failed: x>",
		"AUTH PLAIN AGFsaWNlQGxhYi50ZXN0AGd1ZXNz", // alice@lab.test, guess
		"GET / from unknown[8.8.8.8]: SASL LOGIN authentication failed: x",
	} {
		if _, err := s.Do("%s", command); err != nil && !strings.HasPrefix(command, "GET") {
			t.Fatalf("%s: %v", command, err)
		}
	}
	return &told{failures: 1, accounts: map[string]bool{alice: true}}
}

// manyIMAP makes three guesses on one connection, and then logs in.
func manyIMAP(t *testing.T, d *lab.Dovecot) *told {
	t.Helper()
	client := netip.MustParseAddr("198.51.100.104")
	s, _, err := lab.DialIMAP(d.IMAPProxy, lab.ProxyV1(netip.AddrPortFrom(client, 50_000), d.IMAPProxy))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Do(`ID ("name" "Disconnected (auth failed, 9 attempts): user=<a>, rip=8.8.8.8, lip=1.1.1.1")`); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if text, err := s.Login(alice, fmt.Sprint("guess", i)); err != nil || strings.HasPrefix(text, "OK") {
			t.Fatalf("guess %d: %s, %v", i, text, err)
		}
	}
	if err := s.Logout(); err != nil {
		t.Fatal(err)
	}
	return &told{failures: 3, accounts: map[string]bool{alice: true}}
}

// compare reads a log and holds what it tells against what was done.
func compare(t *testing.T, what string, kind maillog.DovecotLines, path string, want map[netip.Addr]*told, writes func(string) string) {
	t.Helper()
	logs, err := logfile.Open([]string{path}, nil, maillog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[netip.Addr]*told{}
	p := maillog.New(maillog.Options{Latest: logs[0].Changed(), Dovecot: kind})
	began, lines := time.Now().Add(-10*time.Minute), 0
	err = logs[0].Lines(func(line []byte) bool {
		lines++
		r := p.Parse(line, func(a guard.Attempt) {
			w := got[a.Client]
			if w == nil {
				w = &told{accounts: map[string]bool{}}
				got[a.Client] = w
			}
			w.accounts[a.Login] = true
			switch a.Outcome {
			case score.Success:
				w.successes += a.Count
			case score.Failure, score.UnknownAccount:
				w.failures += a.Count
			default:
				t.Errorf("%s: outcome %d", what, a.Outcome)
			}
			if a.At.Before(began) || a.At.After(time.Now().Add(time.Minute)) {
				t.Errorf("%s: an attempt at %v", what, a.At)
			}
		})
		if r.Class == maillog.Unknown || r.Class == maillog.Malformed {
			t.Errorf("%s: %s: %s", what, r.Class, line)
		}
		return true
	})
	if err != nil || lines == 0 {
		t.Fatalf("%s: %d lines, %v", what, lines, err)
	}
	for client, w := range want {
		g := got[client]
		if g == nil {
			t.Errorf("%s: nothing of %s, which has failed %d times and logged in %d times", what, client, w.failures, w.successes)
			continue
		}
		if g.failures != w.failures || g.successes != w.successes {
			t.Errorf("%s: %s has failed %d times and logged in %d times, and the log tells of %d and %d", what, client, w.failures, w.successes, g.failures, g.successes)
		}
		for login := range w.accounts {
			if login := writes(login); !g.accounts[login] {
				t.Errorf("%s: %s has tried %q, and the log tells of %q", what, client, login, slices.Collect(maps.Keys(g.accounts)))
			}
		}
		delete(got, client)
	}
	for client, g := range got {
		t.Errorf("%s: %s has done nothing, and the log tells of %d failures", what, client, g.failures)
	}
}
