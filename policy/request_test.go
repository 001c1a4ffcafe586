package policy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
)

func described(a guard.Attempt) string {
	if a.Outcome == score.Success {
		return fmt.Sprintf("client=%v service=%s login=%s mechanism=%s", a.Client, a.Service, a.Login, a.Mechanism)
	}
	scope := "all"
	if a.Scope == guard.OperatorVerdicts {
		scope = "operator"
	}
	return fmt.Sprintf("client=%v scope=%s service=%s login=%s", a.Client, scope, a.Service, a.Login)
}

func describedAll(as []guard.Attempt) string {
	var all []string
	for _, a := range as {
		all = append(all, described(a))
	}
	return strings.Join(all, "; ")
}

// Every captured request, on a kept connection each over TCP and a Unix socket:
// what the judge is asked and told, and the answers to its verdicts.
func TestCaptured(t *testing.T) {
	refusing := false
	judge := &fakeJudge{}
	s := start(t, testConfig(), judge)
	for _, refusing = range []bool{false, true} {
		judge.verdict = always(guard.Verdict{})
		want := declinedAnswer
		if refusing {
			judge.verdict, want = always(guard.Verdict{Action: guard.Refuse, Rule: guard.RuleBan}), refusedAnswer
		}
		for _, network := range []string{"tcp", "unix"} {
			address := map[string]string{"tcp": s.tcp, "unix": s.unix}[network]
			for _, c := range loadCaptured(t) {
				t.Run(fmt.Sprintf("%s/%s/refusing=%v", c.name, network, refusing), func(t *testing.T) {
					conn := dial(t, network, address)
					var before float64
					if c.malformed != "" {
						before = s.metric(t, "malformed_total{"+c.malformed+"}")
					}
					got := conn.ask(t, string(c.request))
					asked, reports := judge.take()
					if describedAll(asked) != c.ask || describedAll(reports) != c.report {
						t.Errorf("asked %q and reported %q, want %q and %q", describedAll(asked), describedAll(reports), c.ask, c.report)
					}
					if c.malformed != "" {
						if after := s.metric(t, "malformed_total{"+c.malformed+"}"); after != before+1 || got != declinedAnswer {
							t.Errorf("counted %v times, answered %q", after-before, got)
						}
					} else if got != want {
						t.Errorf("answered %q, want %q", got, want)
					}
					// Whatever it was, the next request is understood.
					if got := conn.ask(t, connect()); got != want {
						t.Errorf("the next request was answered %q", got)
					}
					judge.take()
				})
			}
		}
	}
}

// length is that of the request with which b begins, or 0 where it is not whole.
func length(b []byte, scanned int) (n, newScanned int) {
	is, newScanned := whole(b, scanned)
	if is {
		n, _ = new(request).parse(b, new(ending))
	}
	return n, newScanned
}

func TestLength(t *testing.T) {
	for _, test := range []struct {
		in   string
		want int
	}{
		{"", 0}, {"\n", 1}, {"\r", 0}, {"\r\n", 2}, {"a=b", 0}, {"a=b\n", 0}, {"a=b\n\n", 5}, {"a=b\r\n\r\n", 7},
		{"a=b\n\r", 0}, {"a=b\n\r\n", 6}, {"a=b\n\nc=d\n\n", 5}, {"a=b\n\r\nc=d\n\n", 6}, {"a=b\n\nc=d\n\r\n", 5},
		{"a=b\r\r\n", 0}, {"a=\r\n\n", 5}, {"\na=b\n\n", 1},
	} {
		if got, _ := length([]byte(test.in), 0); got != test.want {
			t.Errorf("length(%q) = %d, want %d", test.in, got, test.want)
		}
		// Byte by byte the same end is found.
		scanned, got := 0, 0
		for end := 0; end <= len(test.in) && got == 0; end++ {
			got, scanned = length([]byte(test.in[:end]), scanned)
		}
		if got != test.want {
			t.Errorf("length(%q) byte by byte = %d, want %d", test.in, got, test.want)
		}
	}
}

func TestParseAddr(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.4": "192.0.2.4", "2001:db8::1": "2001:db8::1", "::ffff:192.0.2.4": "192.0.2.4", "fe80::1%eth0": "fe80::1",
		"": "invalid IP", "unknown": "invalid IP", "192.0.2": "invalid IP", "192.0.2.04": "invalid IP", "[::1]": "invalid IP", "IPv6:::1": "invalid IP", "1.2.3.4%": "1.2.3.4",
	} {
		if got := parseAddr([]byte(in)).String(); got != want {
			t.Errorf("parseAddr(%q) = %s, want %s", in, got, want)
		}
	}
	// The address keeps nothing of the buffer that it was parsed from.
	b := []byte("2001:db8::1")
	addr := parseAddr(b)
	copy(b, "xxxxxxxxxxx")
	if addr != netip.MustParseAddr("2001:db8::1") {
		t.Errorf("the address has become %v", addr)
	}
}

func TestParsePort(t *testing.T) {
	for in, want := range map[string]uint16{"": 0, "25": 25, "65535": 65535, "65536": 0, "99999": 0, "123456": 0, "-1": 0, "smtp": 0, "0": 0, "00587": 587} {
		if got := parsePort([]byte(in)); got != want {
			t.Errorf("parsePort(%q) = %d, want %d", in, got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"CONNECT": "CONNECT", "": "", "a\nb": `"a\nb"`, "\x1b[2J": `"\x1b[2J"`, "é": `"\u00e9"`, `a"b`: `"a\"b"`,
		strings.Repeat("x", 100): `"` + strings.Repeat("x", 80) + `"…`,
	} {
		if got := quote([]byte(in)); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}

// TestARequestEndsAtItsFirstEmptyLine holds the search for it, whole and byte by byte,
// to looking at one line after the other.
func TestARequestEndsAtItsFirstEmptyLine(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		text := make([]byte, random.IntN(12))
		for i := range text {
			text[i] = "\n\n\r=a"[random.IntN(5)]
		}
		want, at := 0, 0
		for line := range bytes.Lines(text) {
			at += len(line)
			if string(line) == "\n" || string(line) == "\r\n" {
				want = at
				break
			}
		}
		got, scanned := 0, 0
		if got, _ = length(text, 0); got != want {
			t.Fatalf("length(%q) = %d, want %d", text, got, want)
		}
		got = 0
		for end := 0; end <= len(text) && got == 0; end++ {
			got, scanned = length(text[:end], scanned)
		}
		if got != want {
			t.Fatalf("length(%q) byte by byte = %d, want %d", text, got, want)
		}
	}
}

// TestWhatIsKnownChangesNothing holds requests of which the ending is known to the same
// requests parsed from their beginning.
func TestWhatIsKnownChangesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	lines := []string{
		"request=smtpd_access_policy\n", "request=other\n", "client_address=192.0.2.1\n", "client_address=192.0.2.2\r\n", "client_name=x\n",
		"client_port=25\n", "reverse_client_name=y\n", "server_port=587\n", "server_port=\n", "policy_context=submission\r\n", "sasl_username=a=b\n",
		"sasl_username=\n", "sasl_method=PLAIN\n", "instance=1\n", "protocol_state=RCPT\n", "nothing\n", "=\n", "\n", "\r\n", "\r\r\n",
	}
	known, met := new(ending), 0
	var before []byte
	for range 100_000 {
		var b []byte
		for range random.IntN(5) {
			b = append(b, lines[random.IntN(len(lines))]...)
		}
		if random.IntN(2) == 0 { // it goes on as the last one did
			b = append(b, before[random.IntN(len(before)+1):]...)
		}
		for range random.IntN(3) {
			b = append(b, lines[random.IntN(len(lines))]...)
		}
		b = append(b, '\n')
		if known.begins(b) > 0 {
			met++
		}
		var got, want request
		n, bad := got.parse(b, known)
		wantN, wantBad := want.parse(b, new(ending))
		if n != wantN || bad != wantBad || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q after %q:\n%d %q %+v, want\n%d %q %+v", b, before, n, bad, got, wantN, wantBad, want)
		}
		before = b
	}
	if met < 1000 {
		t.Errorf("the ending was known %d times only", met)
	}
}

func TestALongEndingIsNotKept(t *testing.T) {
	known := new(ending)
	head := "request=smtpd_access_policy\nclient_address=192.0.2.1\n"
	for _, long := range []bool{false, true, false} {
		text := head + "sasl_username=a\n\n"
		if long {
			text = head + "sender=" + strings.Repeat("x", longestEnding) + "\n\n"
		}
		if _, bad := new(request).parse([]byte(text), known); bad != "" {
			t.Fatal(bad)
		}
		if kept := len(known.text) > 0; kept == long {
			t.Errorf("of an ending of %d bytes %d are kept", len(text)-len(head), len(known.text))
		}
	}
}
