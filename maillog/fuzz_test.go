package maillog

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/test/fuzzing"
)

// seeds adds every line of testdata/maillog.
func seeds(f *testing.F, add func(line string)) {
	f.Helper()
	files, err := filepath.Glob(logs + "/*.log")
	if err != nil || len(files) == 0 {
		f.Fatalf("no logs: %v", err)
	}
	for _, file := range files {
		for _, l := range openLog(f, file).lines {
			add(l.text)
		}
	}
}

// sound fails for an attempt that no parser may yield.
func sound(t *testing.T, r Reading, a guard.Attempt) {
	t.Helper()
	switch {
	case !a.Client.IsValid() || a.Client.Is4In6() || a.Client.Zone() != "":
		t.Errorf("the client is %v", a.Client)
	case a.Outcome != score.Success && a.Outcome != score.Failure && a.Outcome != score.UnknownAccount:
		t.Errorf("the outcome is %d", a.Outcome)
	case a.Count < 1 || a.Count > maxCount || len(a.Login) > maxLogin || len(a.Mechanism) > 20:
		t.Errorf("count %d, login of %d bytes, mechanism %q", a.Count, len(a.Login), a.Mechanism)
	case a.At.IsZero() || a.Face != guard.Log || a.Delayed || a.Stale:
		t.Errorf("%+v", a)
	case r.Class != Login || r.Kind == "" || r.Why != "":
		t.Errorf("an attempt of a line that is read as %v %q %q", r.Class, r.Kind, r.Why)
	}
}

// FuzzParse reads any line in every way, twice by a parser that has read others,
// and holds what comes out to its bounds.
func FuzzParse(f *testing.F) {
	seeds(f, func(line string) { f.Add([]byte(line)) })
	options := []Options{{Location: time.UTC}, {Location: time.UTC, Dovecot: DovecotAuth}, {Location: time.UTC, Dovecot: DovecotPAM}}
	for i := range options {
		options[i].Latest = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, o := range options {
			p := New(o)
			before := string(line)
			for range 2 {
				var attempts []guard.Attempt
				r := p.Parse(line, func(a guard.Attempt) { attempts = append(attempts, a) })
				for _, a := range attempts {
					sound(t, r, a)
				}
				if len(attempts) > 1 {
					t.Errorf("%d attempts", len(attempts))
				}
				if !p.When(line).Equal(r.Line.At) {
					t.Errorf("at %v, and at %v when asked only for that", r.Line.At, p.When(line))
				}
			}
			newTwins(o).readAfter(t, before)
			if string(line) != before {
				t.Error("the line was changed")
			}
			for _, field := range p.Explain(line) {
				if strings.ContainsFunc(field.Value, func(r rune) bool { return !strconv.IsPrint(r) }) {
					t.Errorf("%s is %q", field.Name, field.Value)
				}
			}
		}
	})
}

// skeleton is a true line of a program, with %s where a client's words stand.
// What they are is what the program lets pass: no more than a parser may rely on.
type skeleton struct {
	format string
	passes func(byte) bool
	most   int // bytes
	o      Options

	honest string // how the line of an honest client is read
}

// The characters that programs let pass.
func printableByte(c byte) bool { return c >= ' ' && c <= '~' }
func noBlank(c byte) bool       { return c > ' ' && c <= '~' }
func noQuote(c byte) bool       { return printableByte(c) && c != '"' }
func noSemi(c byte) bool        { return printableByte(c) && c != ';' }

const trueClient = "192.0.2.7"

var auth, pam = Options{Dovecot: DovecotAuth}, Options{Dovecot: DovecotPAM}

func skeletons() []skeleton {
	syslog := "Nov 22 10:00:00 mx "
	postfix := syslog + "postfix/smtpd[1]: "
	all := []skeleton{
		{postfix + "warning: unknown[192.0.2.7]: SASL %s authentication failed: Invalid authentication mechanism", noBlank, 500, Options{}, ""},
		{postfix + "warning: unknown[192.0.2.7]: SASL %s authentication failed: (reason unavailable), sasl_username=a", noBlank, 500, Options{}, ""},
		{postfix + "warning: unknown[192.0.2.7]: SASL PLAIN authentication failed: authentication failure, sasl_username=%s", printableByte, 100, Options{}, ""},
		{postfix + "warning: non-SMTP command from unknown[192.0.2.7]: %s", printableByte, 500, Options{}, ""},
		{postfix + "warning: Illegal address syntax from unknown[192.0.2.7] in MAIL command: %s", printableByte, 500, Options{}, ""},
		{postfix + "NOQUEUE: reject: RCPT from unknown[192.0.2.7]: 554 5.7.1 <%[1]s>: Relay access denied; from=<%[1]s> to=<%[1]s> proto=ESMTP helo=<%[1]s>", printableByte, 500, Options{}, ""},
		{postfix + "4F1234ABCD: client=unknown[192.0.2.7], sasl_method=PLAIN, sasl_username=%s", printableByte, 500, Options{}, ""},
		{syslog + "postfix/cleanup[1]: 4F1234ABCD: warning: header Subject: %s from unknown[192.0.2.7]; from=<a> to=<b>", printableByte, 500, Options{}, ""},
		{syslog + "postfix/smtp[1]: 4F1234ABCD: to=<a@b>, relay=mx[192.0.2.7]:25, status=bounced (host mx[192.0.2.7] said: %s)", printableByte, 500, Options{}, ""},

		{syslog + "dovecot: imap-login: Disconnected: Connection closed (auth failed, 2 attempts in 1 secs): user=<%s>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, session=<x>", printableByte, 80, Options{}, ""},
		{syslog + "dovecot: imap-login: Login aborted: Connection closed (auth failed, 2 attempts in 1 secs) (auth_failed): user=<%s>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, session=<x>", printableByte, 80, Options{}, ""},
		{syslog + "dovecot: imap-login: Disconnected (no auth attempts in 1 secs): user=<%s>, rip=192.0.2.7, lip=192.0.2.1, session=<x>", printableByte, 80, Options{}, ""},
		{syslog + "dovecot: imap-login: Disconnected (auth failed, 2 attempts in 1 secs): rip=192.0.2.7, user=<%s>, lip=192.0.2.1", printableByte, 80, Options{}, ""},
		{syslog + "dovecot: imap-login: Login: user=<%s>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, mpid=7", printableByte, 80, Options{}, ""},
		{syslog + "dovecot: imap-login: ID sent: name=%s: user=<>, rip=192.0.2.7, lip=192.0.2.1", printableByte, 500, Options{}, ""},
		{"Nov 22 10:00:00 imap(%s)<7><x>: Info: Logged out in=1 out=2", printableByte, 80, Options{}, ""},
		{"2026-11-22 10:00:00 imap(%s)<7><x>: Info: Logged out in=1 out=2", printableByte, 80, Options{}, ""},
		{syslog + "dovecot: lmtp(alice)<7><x>: msgid=<%s>: saved mail to INBOX", printableByte, 500, Options{}, ""},
		{syslog + "dovecot: auth: passwd-file(%s,192.0.2.7): Password mismatch", printableByte, 500, auth, ""},
		{syslog + "dovecot: auth: passwd-file(%s,192.0.2.7,<x>): unknown user", printableByte, 500, auth, ""},
		{syslog + "dovecot: auth: passwd-file(a,192.0.2.7): Password mismatch (given password: %s)", printableByte, 500, auth, ""},
		{syslog + "dovecot: auth: passwd-file(%[1]s,192.0.2.7): Password mismatch (given password: %[1]s)", printableByte, 500, auth, ""},
		{syslog + "dovecot: auth: plain(?,192.0.2.7,<x>): Username character disallowed by auth_username_chars: 0x2c (username: %s)", printableByte, 500, auth, ""},
		{syslog + "dovecot: auth: policy(%s,192.0.2.7): Authentication failure due to policy server refusal", printableByte, 500, auth, ""},
		{"Nov 22 10:00:00 auth(%s,192.0.2.7,sasl:plain): Info: users: Password mismatch", printableByte, 500, auth, ""},
		{"2026-11-22 10:00:00 auth(%s,192.0.2.7,sasl:plain): Info: users: Password mismatch", printableByte, 500, auth, ""},
		{syslog + "auth: pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot ruser=%s rhost=192.0.2.7", printableByte, 500, pam, ""},
		{syslog + "auth: pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot ruser=%[1]s rhost=192.0.2.7  user=%[1]s", printableByte, 500, pam, ""},

		{syslog + "sendmail[1]: 06I02CNi016765: AUTH failure (%s): authentication failure (-13) SASL(-13): authentication failure: checkpass failed, user=a, relay=mx [192.0.2.7]", noBlank, 100, Options{}, ""},
		{syslog + "sendmail[1]: 06I02CNi016765: AUTH failure (PLAIN): user not found (-20) SASL(-20): user not found: %[1]s, user=%[1]s, relay=mx [192.0.2.7] (may be forged)", printableByte, 100, Options{}, ""},
		{syslog + "sm-mta[1]: 06I02CNi016780: from=<%[1]s>, size=1, msgid=<%[1]s>, relay=mx [192.0.2.7]", printableByte, 500, Options{}, ""},
		{syslog + "sm-mta[1]: AUTH=server, relay=mx [192.0.2.7], authid=%s, mech=PLAIN, bits=0", printableByte, 128, Options{}, ""},
		{syslog + "cyrus/imap[1]: badlogin: mx [192.0.2.7] plaintext %s SASL(-13): authentication failure: checkpass failed", printableByte, 500, Options{}, ""},
		{syslog + "cyrus/imap[1]: badlogin: mx [192.0.2.7] PLAIN [SASL(-20): user not found: %s]", printableByte, 500, Options{}, ""},
		{syslog + "imapd: LOGIN FAILED, user=%s, ip=[::ffff:192.0.2.7], port=[7]", printableByte, 500, Options{}, ""},
		{syslog + "courieresmtpd: error,relay=::ffff:192.0.2.7,msg=\"535 Authentication failed.\",cmd: %s", printableByte, 500, Options{}, ""},
		{syslog + "imapd[1]: Login failed user=%[1]s auth=%[1]s host=mx [192.0.2.7]", printableByte, 80, Options{}, ""},
		{syslog + "imapd[1]: Authenticated user=%[1]s host=mx [192.0.2.7]", printableByte, 80, Options{}, ""},
		{"2026-11-22 10:00:00 login authenticator failed for (%s) [192.0.2.7]: 535 Incorrect authentication data (set_id=a)", printableByte, 200, Options{}, ""},
		{"2026-11-22 10:00:00 login authenticator failed for mx (h) [192.0.2.7]:7 I=[192.0.2.1]:25: 535 Incorrect authentication data (set_id=%s)", printableByte, 200, Options{}, ""},
		{"2026-11-22 10:00:00 1rKxyz-000abc-1X <= a@b H=mx (%s) [192.0.2.7]:7 P=esmtps S=512 id=x T=\"%[1]s\"", printableByte, 200, Options{}, ""},
		{"2026-11-22 10:00:00 rejected EHLO or HELO from [192.0.2.7]: syntactically invalid argument(s): %s", printableByte, 200, Options{}, ""},
		{syslog + "smtpd[1]: f1ab2c3d4e5f6073 smtp event=authentication user=%s address=192.0.2.7 host=mx result=permfail", noBlank, 200, Options{}, ""},
		{syslog + "smtpd[1]: f1ab2c3d4e5f6071 smtp failed-command command=\"%s\" result=\"500 5.5.1 Invalid command\"", printableByte, 200, Options{}, ""},
		{syslog + "roundcube: IMAP Error: Login failed for %s against localhost from 192.0.2.7. LOGIN: Authentication failed. in /x.php on line 1 (POST /?_task=login)", printableByte, 200, Options{}, ""},
		{syslog + "roundcube: IMAP Error: Login failed for a against localhost from 192.0.2.7. LOGIN: %s in /x.php on line 1 (POST /?_task=login)", printableByte, 200, Options{}, ""},
		{"Nov 22 10:00:00 sogod [7]: SOGoRootPage Login from '192.0.2.7' for user '%s' might not have worked - password policy: 65535", printableByte, 200, Options{}, ""},
		{"Nov 22 10:00:00 sogod [7]: SOGoRootPage Login from '%s, 192.0.2.7' for user 'a' might not have worked - password policy: 65535", func(c byte) bool { return printableByte(c) && c != '\'' }, 200, Options{}, ""},
		{"2026-11-22 10:00:00,123 WARN  [qtp1:https] [oip=192.0.2.7;ua=%s;] security - cmd=Auth; account=a; protocol=soap; error=authentication failed for [a], invalid password;", printableByte, 200, Options{}, ""},
		{"2026-11-22 10:00:00,123 WARN  [qtp1:https] [oip=192.0.2.7;ua=x;] security - cmd=Auth; account=%[1]s; protocol=soap; error=authentication failed for [%[1]s], invalid password;", noSemi, 200, Options{}, ""},
		{syslog + "perdition.imap4[7]: Auth: 192.0.2.7:4711->192.0.2.1:143 client-secure=plaintext authorisation_id=NONE authentication_id=\"%s\" server=\"x\" protocol=IMAP4 server-secure=plaintext status=\"failed: Re-Authentication Failure\"", noQuote, 200, Options{}, ""},
	}
	for i := range all {
		s := &all[i]
		s.o.Latest, s.o.Location = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), time.UTC
		New(s.o).Parse([]byte(s.inject("alice")), func(a guard.Attempt) { s.honest = outcome(a.Outcome) })
	}
	return all
}

// inject puts a client's words into a line, as the program lets them pass.
func (s skeleton) inject(words string) string {
	passed := []byte(words[:min(len(words), s.most)])
	for i, c := range passed {
		if !s.passes(c) {
			passed[i] = '?'
		}
	}
	return fmt.Sprintf(s.format, string(passed))
}

// fooled tells why a line of the true client was misread.
func (s skeleton) fooled(line string) (why string) {
	New(s.o).Parse([]byte(line), func(a guard.Attempt) {
		switch {
		case a.Client != netip.MustParseAddr(trueClient):
			why = "taken for " + a.Client.String()
		case outcome(a.Outcome) != s.honest:
			why = outcome(a.Outcome) + " instead of " + s.honest
		case a.Count > 2:
			why = fmt.Sprintf("%d attempts", a.Count)
		}
	})
	return why
}

// FuzzInjection lets a client write into true lines whatever their programs let
// pass: the line tells of nobody else, of no other outcome, and of no more attempts.
func FuzzInjection(f *testing.F) {
	all := skeletons()
	add := func(words string) {
		for i := range all {
			f.Add(uint8(i), words)
		}
	}
	for _, words := range []string{
		"alice", "", "8.8.8.8", "[8.8.8.8]", "a, ip=[8.8.8.8]", "FOO]:x[8.8.8.8]:", "a,8.8.8.8", "a,8.8.8.8): Password mismatch", "a,8.8.8.8): unknown user (given password: x",
		"a) [8.8.8.8]: 535 Incorrect authentication data (set_id=b", "a>, method=PLAIN, rip=8.8.8.8, lip=1.1.1.1, session=<x>", "a rhost=8.8.8.8", "a rhost=8.8.8.8  user=a rhost=8.8.8.8",
		"x dovecot: imap-login: Disconnected (auth failed, 9 attempts): user=<v>, rip=8.8.8.8", "a host=x [8.8.8.8]", "a from 8.8.8.8", "a' for user 'b' from '8.8.8.8", "x;oip=8.8.8.8", "a, relay=[8.8.8.8]",
		"a (auth failed, 900 attempts): user=<b>, rip=8.8.8.8", "x) [8.8.8.8] P=esmtpsa A=plain:victim (y", "x] security - cmd=Auth; account=v; protocol=soap; error=authentication failed for [v], invalid password",
		"a User logged in", "SASL(-13): x [8.8.8.8]", "SASL(-13)", "SASL(-1)", "message repeated 9 times: [ x]", "a address=8.8.8.8 result=ok", "a\" server=\"x\" status=\"ok\"", "PLAIN", "LOGIN", "x authentication failed: y",
		"(unavailable)", "a, authid=b, mech=PLAIN", "8.8.8.8', '8.8.8.8", "8.8.8.8' for user 'a",
	} {
		add(words)
	}
	f.Fuzz(func(t *testing.T, which uint8, words string) {
		s := all[int(which)%len(all)]
		line := s.inject(words)
		if why := s.fooled(line); why != "" {
			t.Errorf("%s:\n%s", why, line)
		}
	})
}

// TestLinesInLines puts every line of the logs into every other as a client's words.
func TestLinesInLines(t *testing.T) {
	files, err := filepath.Glob(logs + "/*.log")
	if err != nil {
		t.Fatal(err)
	}
	n, all := 0, skeletons()
	for _, file := range files {
		for _, l := range openLog(t, file).lines {
			words := strings.ReplaceAll(l.text, trueClient, "8.8.8.8")
			for at := range words {
				if at > 1 && words[at-2:at] != ": " { // from every part of it on
					continue
				}
				for _, s := range all {
					n++
					if why := s.fooled(s.inject(words[at:])); why != "" {
						t.Errorf("%s:\n%s", why, s.inject(words[at:]))
					}
				}
			}
		}
	}
	if n < 50_000 {
		t.Errorf("only %d lines", n)
	}
}

// FuzzStamp holds times to the time package's.
func FuzzStamp(f *testing.F) {
	for _, s := range []string{"Nov 22 10:00:00", "Jan  1 00:00:00.5", "2026-11-22T10:00:00.123456+01:00", "2026-11-22 10:00:00,5", "2024-02-29T23:59:59Z", "2026-11-22T10:00:00-0330", "Feb 29 00:00:00", "@400000004c91b044077a9e94 "} {
		f.Add(s)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		f.Fatal(err)
	}
	latest := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		st := stamps{zone: berlin, latest: latest}
		for range 2 { // the second time from what was kept
			if at, rest, ok := st.iso(s); ok {
				text := strings.Replace(strings.TrimSuffix(s, rest)[:19], "T", " ", 1)
				zone := at.Location()
				want, err := time.ParseInLocation(time.DateTime, text, zone)
				if err != nil && !strings.HasSuffix(text, ":60") {
					t.Errorf("%q is %v, and for the time package %v", s, at, err)
				}
				if got := at.Truncate(time.Second); err == nil && !got.Equal(want) && got.Sub(want).Abs() > time.Hour {
					t.Errorf("%q is %v, not %v", s, got, want)
				}
			}
			if at, _, ok := st.rfc3164(s); ok {
				if at.After(latest.Add(slack+2*time.Hour)) || at.Before(latest.AddDate(-9, 0, 0)) || at.Format("Jan") != s[:3] {
					t.Errorf("%q is %v", s, at)
				}
			}
			if at, _, ok := tai64n(s); ok && (at.Year() < 1969 || at.Year() > 40_000) {
				t.Errorf("%q is %v", s, at)
			}
		}
	})
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
