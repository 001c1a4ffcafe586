package lab

import (
	"fmt"
	"net/netip"
	"strings"
)

// POP3 is a client's session.
type POP3 struct{ c *lineConn }

// DialPOP3 connects and reads the greeting. header is a PROXY header, or nil
// where none is expected.
func DialPOP3(server netip.AddrPort, header []byte) (*POP3, string, error) {
	c, err := dialLines(server, header)
	if err != nil {
		return nil, "", err
	}
	greeting, err := c.readLine()
	if err != nil {
		c.close()
		return nil, "", fmt.Errorf("reading the POP3 greeting: %w", err)
	}
	return &POP3{c}, greeting, nil
}

// Do sends a command and returns its first line: "+OK …" or "-ERR …".
func (p *POP3) Do(format string, args ...any) (string, error) {
	if err := p.c.writeLine(fmt.Sprintf(format, args...)); err != nil {
		return "", err
	}
	return p.c.readLine()
}

// Login sends USER and PASS and returns the line that decides.
func (p *POP3) Login(user, password string) (string, error) {
	line, err := p.Do("USER %s", user)
	if err != nil || !strings.HasPrefix(line, "+OK") {
		return line, err
	}
	return p.Do("PASS %s", password)
}

// Auth sends AUTH, leads the conversation and returns the line that decides.
func (p *POP3) Auth(m Mechanism, user, password string) (string, error) {
	last := ""
	turn := func(line string) (string, bool, error) {
		var err error
		last, err = p.Do("%s", line)
		challenge, more := strings.CutPrefix(last, "+ ")
		return challenge, more, err
	}
	err := m.authenticate(user, password, func(initial string) (string, bool, error) {
		return turn(strings.TrimRight("AUTH "+string(m)+" "+initial, " "))
	}, turn)
	return last, err
}

// Quit ends the session in good manners.
func (p *POP3) Quit() error {
	_, err := p.Do("QUIT")
	p.Close()
	return err
}

// Close cuts the connection.
func (p *POP3) Close() error { return p.c.close() }
