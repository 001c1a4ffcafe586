package policy

import (
	"bytes"
	"io"
	"net"
	"regexp"
	"testing"
	"time"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/listen"
	"github.com/saslguard/saslguard/test/fuzzing"
)

// FuzzParse feeds a connection whatever comes: it never panics, reads no more
// than is there, and answers every request with an action that Postfix knows.
func FuzzParse(f *testing.F) {
	for i, c := range loadCaptured(f) {
		f.Add(c.request, uint8(i))
		f.Add(append(bytes.Clone(c.request), c.request...), uint8(7*i))
	}
	f.Add([]byte("request=smtpd_access_policy\nclient_address=::1%\n\n"), uint8(1))
	f.Add([]byte("\n\n\r\n\r\n\n\r\r\n"), uint8(2))
	action := regexp.MustCompile(`^action=(DUNNO|sleep ([1-9]|[12][0-9]|30)|421 4\.7\.0 Too many failed logins, try again later)\n\n$`)
	verdicts := []guard.Verdict{{}, {Action: guard.Tarpit, Delay: 7 * time.Second}, {Action: guard.Refuse}}

	f.Fuzz(func(t *testing.T, input []byte, mode uint8) {
		judge := &fakeJudge{verdict: always(verdicts[int(mode)%len(verdicts)])}
		srv, err := New(testConfig(), judge, Options{})
		if err != nil {
			t.Fatal(err)
		}
		nc := &scripted{input: input, piece: 1 + int(mode)}
		c := newConn(t.Context(), srv, nc)
		defer c.cancel()
		in := &watched{conn: c, t: t}
		c.ended(listen.Follow(nc, in))
		for _, answer := range nc.answers {
			if !action.MatchString(answer) {
				t.Fatalf("answered %q", answer)
			}
		}
		answers := len(nc.answers)
		if in.came > len(input) || c.r > c.w {
			t.Fatalf("read %d of %d bytes", in.came, len(input))
		}
		asked, reports := judge.take()
		if len(asked) > answers || len(reports) > len(asked) {
			t.Fatalf("%d answers, %d questions, %d reports", answers, len(asked), len(reports))
		}
		for _, a := range asked {
			if !a.Client.IsValid() || a.Client.Is4In6() || a.Client.Zone() != "" {
				t.Fatalf("asked about %v", a.Client)
			}
		}
	})
}

// watched is a connection's inbox that is held to its bounds.
type watched struct {
	*conn
	t    *testing.T
	came int
}

func (w *watched) Room() ([]byte, error) {
	b, err := w.conn.Room()
	if err == nil && len(b) == 0 {
		w.t.Fatal("there is no room")
	}
	if most := max(w.srv.settings.Load().maxRequest, initialBuffer); len(w.buf) > most {
		w.t.Fatalf("the buffer has %d bytes", len(w.buf))
	}
	return b, err
}

func (w *watched) Came(n int) error {
	w.came += n
	return w.conn.Came(n)
}

// scripted is a connection that delivers its input in pieces, and keeps the answers.
type scripted struct {
	net.Conn
	input   []byte
	piece   int
	answers []string
}

func (s *scripted) Read(b []byte) (int, error) {
	if len(s.input) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.input[:min(s.piece, len(s.input))])
	s.input = s.input[n:]
	return n, nil
}

func (s *scripted) Write(b []byte) (int, error) {
	s.answers = append(s.answers, string(b))
	return len(b), nil
}

func (*scripted) RemoteAddr() net.Addr             { return &net.UnixAddr{Net: "unix"} }
func (*scripted) SetReadDeadline(time.Time) error  { return nil }
func (*scripted) SetWriteDeadline(time.Time) error { return nil }

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
