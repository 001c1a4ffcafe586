package lab

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Reply is an SMTP server's answer.
type Reply struct {
	Code int
	Text string // without codes, lines joined by newlines
}

func (r Reply) String() string { return fmt.Sprintf("%d %s", r.Code, r.Text) }

// SMTP is a client's session. A refusal is a [Reply]; errors are for
// connections that break.
type SMTP struct{ c *lineConn }

// DialSMTP connects and reads the greeting. header is a PROXY header, or nil
// where none is expected.
func DialSMTP(server netip.AddrPort, header []byte) (*SMTP, Reply, error) {
	c, err := dialLines(server, header)
	if err != nil {
		return nil, Reply{}, err
	}
	return greetedSMTP(c)
}

// SMTPOver is DialSMTP over a connection that there is already, such as one from
// another network namespace. It closes the connection if there is no greeting.
func SMTPOver(conn net.Conn) (*SMTP, Reply, error) { return greetedSMTP(overLines(conn)) }

func greetedSMTP(c *lineConn) (*SMTP, Reply, error) {
	s := &SMTP{c}
	greeting, err := s.readReply()
	if err != nil {
		c.close()
		return nil, Reply{}, fmt.Errorf("reading the SMTP greeting: %w", err)
	}
	return s, greeting, nil
}

// Do sends a command and reads its reply.
func (s *SMTP) Do(format string, args ...any) (Reply, error) {
	line := fmt.Sprintf(format, args...)
	if err := s.c.writeLine(line); err != nil {
		return Reply{}, fmt.Errorf("sending %q: %w", line, err)
	}
	r, err := s.readReply()
	if err != nil {
		return r, fmt.Errorf("reading the reply to %q: %w", line, err)
	}
	return r, nil
}

// XClient makes Postfix take the session for the client's. attributes are
// further ones, as "NAME=[UNAVAILABLE]" or "PORT=4321". On success the session
// begins again and the reply is its new greeting, 220; else it is what the
// client would have got in place of a greeting.
func (s *SMTP) XClient(client netip.Addr, attributes ...string) (Reply, error) {
	addr := client.Unmap().WithZone("").String()
	if strings.Contains(addr, ":") {
		addr = "IPV6:" + addr
	}
	return s.Do("XCLIENT ADDR=%s%s", addr, strings.Join(append([]string{""}, attributes...), " "))
}

// Hello sends EHLO.
func (s *SMTP) Hello(name string) (Reply, error) { return s.Do("EHLO %s", name) }

// Auth logs in. The reply is 235, or 535 for a wrong password, 454 when
// Dovecot does not answer.
func (s *SMTP) Auth(m Mechanism, user, password string) (Reply, error) {
	var last Reply
	turn := func(line string) (string, bool, error) {
		var err error
		last, err = s.Do("%s", line)
		return last.Text, last.Code == 334, err
	}
	err := m.authenticate(user, password, func(initial string) (string, bool, error) {
		return turn(strings.TrimRight("AUTH "+string(m)+" "+initial, " "))
	}, turn)
	return last, err
}

// Send hands in a message and returns the first refusal, or the 250 with the
// queue id.
func (s *SMTP) Send(from, to, body string) (Reply, error) {
	for _, step := range []struct {
		line string
		want int
	}{
		{"MAIL FROM:<" + from + ">", 250},
		{"RCPT TO:<" + to + ">", 250},
		{"DATA", 354},
	} {
		r, err := s.Do("%s", step.line)
		if err != nil || r.Code != step.want {
			return r, err
		}
	}
	text := strings.ReplaceAll("From: <"+from+">\nTo: <"+to+">\nSubject: lab\n\n"+body, "\n", "\r\n")
	return s.Do("%s", strings.ReplaceAll(text, "\r\n.", "\r\n..")+"\r\n.")
}

// Quit ends the session in good manners.
func (s *SMTP) Quit() error {
	_, err := s.Do("QUIT")
	s.Close()
	return err
}

// Close cuts the connection.
func (s *SMTP) Close() error { return s.c.close() }

func (s *SMTP) readReply() (Reply, error) {
	var texts []string
	for {
		line, err := s.c.readLine()
		if err != nil {
			return Reply{}, err
		}
		if len(line) < 3 {
			return Reply{}, fmt.Errorf("not an SMTP reply: %q", line)
		}
		code, err := strconv.Atoi(line[:3])
		if err != nil {
			return Reply{}, fmt.Errorf("not an SMTP reply: %q", line)
		}
		last := len(line) == 3 || line[3] != '-'
		texts = append(texts, line[min(4, len(line)):])
		if last {
			return Reply{code, strings.Join(texts, "\n")}, nil
		}
	}
}
