package maillog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
)

func TestOneFailureInEachEnvelope(t *testing.T) {
	const message = "warning: unknown[192.0.2.7]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=alice@lab.test"
	for _, envelope := range []string{
		"Nov 22 10:00:00 mx postfix/smtpd[5401]: ",
		"Nov  2 10:00:00 mx postfix/smtpd[5401]: ",
		"2026-11-22T10:00:00.123456+01:00 mx postfix/smtpd[5401]: ",
		"<22>Nov 22 10:00:00 mx postfix/smtpd[5401]: ",
		"<22>1 2026-11-22T10:00:00.123456+01:00 mx postfix 5401 - -  ",
		"docker-1  | 2026-11-22T10:00:00.123456789Z Nov 22 10:00:00 mx postfix/smtpd[5401]: ",
	} {
		var got []guard.Attempt
		r := New(Options{}).Parse([]byte(envelope+message), func(a guard.Attempt) { got = append(got, a) })
		if r.Class != Login || r.Kind != "postfix" || r.Line.PID != 5401 || r.Line.Host != "mx" || string(r.Line.Message) != message {
			t.Errorf("%s read as %+v", envelope, r)
		}
		if len(got) != 1 || got[0].Client.String() != "192.0.2.7" || got[0].Login != "alice@lab.test" || got[0].Outcome != score.Failure || got[0].At.IsZero() {
			t.Errorf("%s yields %+v", envelope, got)
		}
	}
}

// TestACutLineTellsNothing: the end of a line of Dovecot's is what tells the client.
func TestACutLineTellsNothing(t *testing.T) {
	line := "Nov 22 10:00:00 mx dovecot: imap-login: Disconnected (auth failed, 1 attempts): user=<a>, method=PLAIN, rip=8.8.8.8, lip=1.1.1.1" +
		strings.Repeat(", x", MaxLine)
	for _, n := range []int{MaxLine, MaxLine + 1, len(line)} {
		if r := New(Options{}).Parse([]byte(line[:n]), func(a guard.Attempt) { t.Errorf("%d bytes yield %+v", n, a) }); r.Class != Malformed {
			t.Errorf("a line of %d bytes is %v", n, r.Class)
		}
	}
}

// TestALineThatASyslogHasCut: where the client stands behind its own words, these can
// push the true end of a line out of what a syslog, or Courier, keeps of it.
func TestALineThatASyslogHasCut(t *testing.T) {
	for _, form := range []string{
		"dovecot: imap-login: Disconnected (auth failed, 1 attempts): user=<%sa>, method=PLAIN, rip=8.8.8.8, lip=1.1.1.1",
		"dovecot: imap-login: Login: user=<%sa>, method=PLAIN, rip=8.8.8.8, lip=1.1.1.1",
		"dovecot: auth: passwd-file(%sa,8.8.8.8): Password mismatch",
		"imapd: LOGIN FAILED, user=%sa, ip=[8.8.8.8]",
		"imapd: LOGIN, user=%sa, ip=[8.8.8.8], protocol=IMAP",
		"ipop3d[7]: Login failed user=%sa auth=a host=x [8.8.8.8]",
		"sendmail[7]: s0QBU1Ir002370: AUTH failure (LOGIN): authentication failure (-13) SASL(-13): x, user=%sa, relay=x [8.8.8.8]",
		"auth: pam_unix(imap:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot ruser=%sa rhost=8.8.8.8",
		"roundcube: IMAP Error: Login failed for %sa from 8.8.8.8.",
		`perdition.imap4[7]: Auth: 192.0.2.7:4711->192.0.2.1:993 authentication_id="%sa" server="x" protocol=IMAP4 status="ok"`,
	} {
		for _, tt := range []struct{ padding, want int }{{10, 1}, {1024, 0}, {8192, 0}} {
			o := Options{}
			if strings.Contains(form, "passwd-file") {
				o.Dovecot = DovecotAuth
			}
			attempts := 0
			line := "Nov 22 10:00:00 mx " + fmt.Sprintf(form, strings.Repeat("y", tt.padding))
			r := New(o).Parse([]byte(line), func(guard.Attempt) { attempts++ })
			if attempts != tt.want || r.Class != Login || tt.want == 0 && r.Why != whyAmbiguous && r.Why != whyLater {
				t.Errorf("%s with %d octets more: %d attempts, %v %q", form, tt.padding, attempts, r.Class, r.Why)
			}
		}
	}
}

// TestALongLoginDoesNotHideASendmailClient: Cyrus SASL may ignore what is behind the @.
func TestALongLoginDoesNotHideASendmailClient(t *testing.T) {
	p := New(Options{})
	var got []guard.Attempt
	for _, line := range []string{
		"NOQUEUE: connect from x [192.0.2.7]",
		"s0QBU1Ir002370: AUTH failure (LOGIN): authentication failure (-13) SASL(-13): x, user=alice@" + strings.Repeat("y", 1000) + ", relay=x [8.8.8.8]",
	} {
		p.Parse([]byte("Nov 22 10:00:00 mx sendmail[7]: "+line), func(a guard.Attempt) { got = append(got, a) })
	}
	if len(got) != 1 || got[0].Client.String() != "192.0.2.7" {
		t.Errorf("read as %+v", got)
	}
}

// TestImapdIsWhatItWasBefore: a line that is not understood is not that of a program of
// which nothing was.
func TestImapdIsWhatItWasBefore(t *testing.T) {
	p := New(Options{})
	for _, tt := range []struct{ message, kind string }{
		{"login failed for x", "mailbox"},
		{"badlogin: x [192.0.2.7] plaintext alice SASL(-13): authentication failure: checkpass failed", "cyrus"},
		{"login failed for x", "cyrus"},
		{"LOGIN FAILED, user=alice, ip=[192.0.2.7]", "courier"},
		{"login failed for x", "courier"},
	} {
		if r := p.Parse([]byte("Nov 22 10:00:00 mx imapd[7]: "+tt.message), func(guard.Attempt) {}); r.Kind != tt.kind {
			t.Errorf("%s: of %s, not %s", tt.message, r.Kind, tt.kind)
		}
	}
}

// TestNamesAreBounded: what is kept of hosts and programs is, however many there are.
func TestNamesAreBounded(t *testing.T) {
	p := New(Options{})
	long := strings.Repeat("x", 30_000)
	for _, line := range []string{
		"<22>1 2026-11-22T10:00:00Z " + long + " " + long + " 7 - - hello",
		`{"__REALTIME_TIMESTAMP":"1","_HOSTNAME":"` + long + `","SYSLOG_IDENTIFIER":"","MESSAGE":"hello"}`,
	} {
		r := p.Parse([]byte(line), nil)
		if len(r.Line.Host) != maxHost || len(r.Line.Program) > maxName || string(r.Line.Message) != "hello" {
			t.Errorf("%.40s… has a host of %d bytes, a program of %d", line, len(r.Line.Host), len(r.Line.Program))
		}
	}
}

// TestWhatStaysValid: lines are read into one buffer after the other.
func TestWhatStaysValid(t *testing.T) {
	p := New(Options{})
	buf := []byte("Nov 22 10:00:00 mx postfix/smtpd[1]: warning: unknown[192.0.2.7]: SASL XFOO authentication failed: x, sasl_username=alice")
	var a guard.Attempt
	r := p.Parse(buf, func(found guard.Attempt) { a = found })
	for i := range buf {
		buf[i] = '!'
	}
	if a.Login != "alice" || a.Mechanism != "XFOO" || a.Service != "smtp" || r.Line.Host != "mx" || r.Line.Program != "postfix/smtpd" {
		t.Errorf("what was read has changed with its buffer: %+v, %+v", a, r.Line)
	}
}

// TestTheYearOfALiveLog: a parser that lives on knows what year it is.
func TestTheYearOfALiveLog(t *testing.T) {
	now := time.Date(2026, 12, 31, 23, 59, 0, 0, time.UTC)
	p := New(Options{Location: time.UTC, Now: func() time.Time { return now }})
	for range 800 {
		line := now.Format("Jan _2 15:04:05") + " mx postfix/smtpd[1]: connect from unknown[192.0.2.7]"
		if at := p.When([]byte(line)); !at.Equal(now) {
			t.Fatalf("%s was at %v", line, at)
		}
		now = now.Add(23*time.Hour + 59*time.Minute + 59*time.Second)
	}
}

// TestSessionsAreBounded: connections are forgotten, the oldest first.
func TestSessionsAreBounded(t *testing.T) {
	p := New(Options{Location: time.UTC, Latest: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)})
	got := 0
	read := func(format string, args ...any) {
		p.Parse(fmt.Appendf(nil, "Nov 22 10:00:00 mx "+format, args...), func(guard.Attempt) { got++ })
	}
	for pid := range 10 * maxSessions {
		read("sendmail[%d]: NOQUEUE: connect from [192.0.2.7]", pid+1)
		if len(p.sessions.young)+len(p.sessions.old) > 2*maxSessions {
			t.Fatalf("%d connections are remembered", len(p.sessions.young)+len(p.sessions.old))
		}
	}
	failure := "sendmail[%d]: s0QBV0Ir%06d: AUTH failure (LOGIN): authentication failure (-13) SASL(-13): authentication failure: checkpass failed"
	if read(failure, 1, 1); got != 0 {
		t.Error("the oldest connection is still known")
	}
	if read(failure, 10*maxSessions, 2); got != 1 {
		t.Error("the newest connection is not known")
	}
}
