package maillog

import (
	"testing"
	"time"

	"github.com/saslguard/saslguard/guard"
)

// TestNothingIsAllocated holds lines that yield nothing to what a log of millions
// of them needs.
func TestNothingIsAllocated(t *testing.T) {
	for _, line := range quiet {
		p := New(Options{Latest: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)})
		b := []byte(line)
		yield := func(guard.Attempt) { t.Errorf("an attempt of %s", line) }
		read := func() {
			if r := p.Parse(b, yield); r.Class == Malformed {
				t.Errorf("malformed: %s", line)
			}
		}
		read()
		if n := testing.AllocsPerRun(100, read); n != 0 {
			t.Errorf("%v allocations for %s", n, line)
		}
	}
}

// quiet are lines as most of a log's are.
var quiet = []string{
	"Nov 22 10:00:00 mx postfix/smtpd[5401]: connect from unknown[192.0.2.7]",
	"Nov 22 10:00:00 mx postfix/smtpd[5401]: disconnect from localhost[127.0.0.1] ehlo=1 auth=0/20 commands=1/21",
	"Nov 22 10:00:00 mx postfix/smtpd[5401]: NOQUEUE: reject: RCPT from unknown[192.0.2.7]: 554 5.7.1 <x@y>: Relay access denied; from=<a> to=<x@y> proto=ESMTP helo=<mx>",
	"2026-11-22T10:00:00.123456+01:00 mx postfix/qmgr[5401]: 4F1234ABCD: from=<a@example.org>, size=1234, nrcpt=1 (queue active)",
	"2026-11-22T10:00:00.123456+01:00 mx postfix/smtp[5401]: 4F1234ABCD: to=<a@example.org>, relay=mx.example.org[192.0.2.9]:25, delay=1, status=sent (250 ok)",
	"<22>1 2026-11-22T10:00:00.123456+01:00 mx postfix 5401 - -  connect from unknown[192.0.2.7]",
	"Nov 22 10:00:00 mx dovecot: imap(alice)<123><x>: Logged out in=1 out=2",
	"Nov 22 10:00:00 mx dovecot: imap-login: Disconnected (no auth attempts in 2 secs): user=<>, rip=192.0.2.7, lip=192.0.2.1",
	"Nov 22 10:00:00 mx dovecot: auth: passwd-file(alice,192.0.2.7): Password mismatch",
	"Nov 22 10:00:00 imap(alice)<123><x>: Info: Logged out in=1 out=2",
	"Nov 22 10:00:00 mx sendmail[1]: NOQUEUE: connect from mx.example [192.0.2.7]",
	"Nov 22 10:00:00 mx sshd[77]: Connection closed by 192.0.2.7 port 4711",
	"Nov 22 10:00:00 mx somemaild[77]: a long line of a program of which nothing is known but its name",
	"2026-11-22 10:00:00 1rKxyz-000abc-1X Completed",
	`{"__REALTIME_TIMESTAMP":"1795338000123456","_HOSTNAME":"mx","SYSLOG_IDENTIFIER":"postfix/smtpd","_PID":"5401","MESSAGE":"connect from \"unknown\"[192.0.2.7]"}`,
}

func BenchmarkParse(b *testing.B) {
	for name, line := range map[string]string{
		"smtpd":       quiet[1],
		"qmgr":        quiet[3],
		"imap":        quiet[6],
		"sshd":        quiet[11],
		"journal":     quiet[14],
		"failure":     "Nov 22 10:00:00 mx postfix/smtpd[5401]: warning: unknown[192.0.2.7]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=alice@lab.test",
		"imapfailure": "Nov 22 10:00:00 mx dovecot: imap-login: Disconnected: Connection closed (auth failed, 2 attempts in 1 secs): user=<alice>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, session=<x>",
	} {
		b.Run(name, func(b *testing.B) {
			p, line := New(Options{}), []byte(line)
			b.ReportAllocs()
			b.SetBytes(int64(len(line)))
			for b.Loop() {
				p.Parse(line, func(guard.Attempt) {})
			}
		})
	}
}
