package policy

import (
	"bytes"
	"io"
	"net"
	"regexp"
	"testing"
	"time"

	"github.com/saslguard/saslguard/guard"
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
		answers, consumed := 0, 0
		for {
			set := srv.settings.Load()
			if err := c.next(set); err != nil {
				c.ended(err)
				break
			}
			begins := c.r
			c.answer(set)
			if c.r <= begins || c.r > c.w {
				t.Fatalf("read from %d to %d of %d bytes", begins, c.r, c.w)
			}
			consumed += c.r - begins
			if !action.Match(c.out) {
				t.Fatalf("answered %q", c.out)
			}
			answers++
			if len(c.buf) > max(set.maxRequest, initialBuffer) {
				t.Fatalf("the buffer has %d bytes", len(c.buf))
			}
		}
		if consumed > len(input) {
			t.Fatalf("read %d of %d bytes", consumed, len(input))
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

// scripted is a connection that delivers its input in pieces.
type scripted struct {
	net.Conn
	input []byte
	piece int
}

func (s *scripted) Read(b []byte) (int, error) {
	if len(s.input) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.input[:min(s.piece, len(s.input))])
	s.input = s.input[n:]
	return n, nil
}

func (*scripted) RemoteAddr() net.Addr            { return &net.UnixAddr{Net: "unix"} }
func (*scripted) SetReadDeadline(time.Time) error { return nil }

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
