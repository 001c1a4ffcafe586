package hotpath

import (
	"context"
	"fmt"
	"net"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/maillog"
	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/test/bench/load"
)

// clients is how many take turns where attempts are counted, so that few of them come
// to be banned.
const clients = 4096

// Cases are all inner parts.
func Cases() []Case {
	all := []Case{
		{"Dovecot allow", func() (*Path, error) {
			return face((*site).dovecot, new(load.Dovecot), func(int) load.Question { return load.Question{Kind: load.Known} })
		}},
		{"Dovecot report of a failure", func() (*Path, error) {
			return face((*site).dovecot, new(load.Dovecot), func(n int) load.Question {
				return load.Question{Kind: load.Known, N: n % clients, Try: uint32(n / clients), Command: load.Report}
			})
		}},
		{"Postfix decision", func() (*Path, error) {
			return face((*site).postfix, load.Postfix{}, func(int) load.Question { return load.Question{Kind: load.Known} })
		}},
		{"Check of a banned client", banned},
		{"Apply of a failure", apply},
	}
	for _, l := range lines() {
		all = append(all, Case{"log of " + l.program, l.open})
	}
	return all
}

// face asks a face over a connection. Reports are waited for until they are counted.
func face(open func(*site) (net.Conn, error), dialect load.Dialect, question func(n int) load.Question) (*Path, error) {
	s, err := newSite()
	if err != nil {
		return nil, err
	}
	conn, err := open(s)
	if err != nil {
		_ = s.close()
		return nil, err
	}
	var (
		q       load.Question
		out     []byte
		in      [4096]byte
		asked   int
		reports int64
	)
	return &Path{
		Do: func() error {
			q = question(asked)
			asked++
			if q.Command == load.Report {
				reports++
			}
			out = dialect.Append(out[:0], &q)
			if _, err := conn.Write(out); err != nil {
				return err
			}
			for n := 0; ; {
				got, err := conn.Read(in[n:])
				if err != nil {
					return err
				}
				n += got
				if length, _, err := dialect.Answer(in[:n]); err != nil || length > 0 {
					return err
				}
			}
		},
		Settle: func() error { return s.counted(reports) },
		Close: func() error {
			_ = conn.Close()
			return s.close()
		},
	}, nil
}

func banned() (*Path, error) {
	s, err := newSite()
	if err != nil {
		return nil, err
	}
	client := load.Banned.Addr(0)
	if err := s.ban(client); err != nil {
		_ = s.close()
		return nil, err
	}
	a := &guard.Attempt{Face: guard.Dovecot, Client: client, Login: "alice@example.org", Service: "imap", Mechanism: "PLAIN", Hash: "0ccf"}
	return &Path{
		Do: func() error {
			if v := s.guard.Check(context.Background(), a); v.Action != guard.Refuse {
				return fmt.Errorf("a banned client meets %v", v.Action)
			}
			return nil
		},
		Close: s.close,
	}, nil
}

func apply() (*Path, error) {
	s, err := newSite()
	if err != nil {
		return nil, err
	}
	n := 0
	attempts, verdicts := make([]guard.Attempt, 1), make([]guard.Verdict, 1)
	return &Path{
		Do: func() error {
			attempts[0] = guard.Attempt{
				Face: guard.Log, Client: load.Known.Addr(n % clients), Login: "alice@example.org", Service: "smtp", Outcome: score.Failure,
			}
			n++
			return s.guard.Apply(context.Background(), attempts, verdicts)
		},
		Close: s.close,
	}, nil
}

// logLines are those of one program that make a failed login.
type logLines struct {
	program string
	lines   [][]byte
}

func (l *logLines) open() (*Path, error) {
	p := maillog.New(maillog.Options{})
	attempts := 0
	yield := func(guard.Attempt) { attempts++ }
	return &Path{
		Do: func() error {
			before := attempts
			for _, line := range l.lines {
				p.Parse(line, yield)
			}
			if attempts == before {
				return fmt.Errorf("no attempt in %q", l.lines)
			}
			return nil
		},
		Close: func() error { return nil },
	}, nil
}

func lines() (all []*logLines) {
	for _, l := range [][]string{
		{"Postfix", "Nov 22 10:00:00 mx postfix/smtpd[5401]: warning: unknown[192.0.2.7]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=alice@lab.test"},
		{"Dovecot", "Nov 22 10:00:00 mx dovecot: imap-login: Disconnected: Connection closed (auth failed, 2 attempts in 1 secs): user=<alice>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, session=<x>"},
		{"Exim", "Nov 22 10:00:01 mx exim[77]: plain authenticator failed for (x y) [192.0.2.7]: 535 Incorrect authentication data (set_id=alice)"},
		{"sendmail", "Nov 22 10:03:02 mx sendmail[7]: 06I02CNi016765: AUTH failure (LOGIN): authentication failure (-13) SASL(-13): authentication failure: checkpass failed, user=a, relay=[192.0.2.7]"},
		{"Cyrus", "Jan  4 21:51:06 host cyrus/imaps[5355]: badlogin: localhost.localdomain [192.0.2.7] plaintext alice [SASL(-13): authentication failure: checkpass failed]"},
		{"Courier", "Apr 23 21:59:01 dns2 imapd: LOGIN FAILED, user=sales@example.com, ip=[::ffff:192.0.2.7]"},
		{"OpenSMTPD", "Nov 22 10:00:01 mx smtpd[7]: f1ab2c3d4e5f6072 smtp connected address=192.0.2.7 host=mx.example", "Nov 22 10:00:02 mx smtpd[7]: f1ab2c3d4e5f6072 smtp authentication user=alice result=permfail"},
		{"perdition", `Nov 22 10:00:00 mx perdition.imap4s[7]: Auth: 192.0.2.7:4711->192.0.2.1:993 client-secure=ssl authorisation_id=NONE authentication_id="alice" server="mail" protocol=IMAP4S server-secure=plaintext status="failed: Re-Authentication Failure"`},
		{"Roundcube", "Nov 22 10:04:01 mx roundcube: IMAP Error: Login failed for admin from 192.0.2.7. AUTHENTICATE PLAIN: A0002 NO Login failed. in /usr/share/roundcube/program/include/rcube_imap.php on line 205 (POST /?_task=login)"},
		{"SOGo", "Nov 22 10:04:02 sogod [7]: SOGoRootPage Login from '192.0.2.7' for user 'a' might not have worked - password policy: 65535  grace: -1  expire: -1  bound: 0"},
	} {
		one := &logLines{program: l[0]}
		for _, line := range l[1:] {
			one.lines = append(one.lines, []byte(line))
		}
		all = append(all, one)
	}
	return all
}
