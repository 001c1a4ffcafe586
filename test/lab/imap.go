package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// IMAP is a client's session.
type IMAP struct {
	c    *lineConn
	tags int
}

// DialIMAP connects and reads the greeting. header is a PROXY header, or nil
// where none is expected.
func DialIMAP(server netip.AddrPort, header []byte) (*IMAP, string, error) {
	c, err := dialLines(server, header)
	if err != nil {
		return nil, "", err
	}
	return greetedIMAP(c)
}

// IMAPOver is DialIMAP over a connection that there is already, such as one with TLS.
// It closes the connection if there is no greeting.
func IMAPOver(conn net.Conn) (*IMAP, string, error) { return greetedIMAP(overLines(conn)) }

func greetedIMAP(c *lineConn) (*IMAP, string, error) {
	greeting, err := c.readLine()
	if err != nil {
		c.close()
		return nil, "", fmt.Errorf("reading the IMAP greeting: %w", err)
	}
	return &IMAP{c: c}, greeting, nil
}

// Do sends a command and returns its result without the tag: "OK …", "NO …" or
// "BAD …". A server that says goodbye instead is an error with its words.
func (i *IMAP) Do(format string, args ...any) (string, error) {
	tag := i.tag()
	if err := i.c.writeLine(tag + " " + fmt.Sprintf(format, args...)); err != nil {
		return "", err
	}
	result, _, _, err := i.result(tag)
	return result, err
}

// Login sends LOGIN and returns its result.
func (i *IMAP) Login(user, password string) (string, error) {
	return i.Do("LOGIN %s %s", astring(user), astring(password))
}

// Authenticate sends AUTHENTICATE, leads the conversation and returns the
// result.
func (i *IMAP) Authenticate(m Mechanism, user, password string) (string, error) {
	tag := i.tag()
	result := ""
	turn := func(line string) (challenge string, more bool, err error) {
		if err := i.c.writeLine(line); err != nil {
			return "", false, err
		}
		result, challenge, more, err = i.result(tag)
		return challenge, more, err
	}
	err := m.authenticate(user, password, func(initial string) (string, bool, error) {
		return turn(strings.TrimRight(tag+" AUTHENTICATE "+string(m)+" "+initial, " "))
	}, turn)
	return result, err
}

// Logout ends the session in good manners.
func (i *IMAP) Logout() error {
	_, err := i.Do("LOGOUT")
	i.Close()
	return err
}

// Close cuts the connection.
func (i *IMAP) Close() error { return i.c.close() }

func (i *IMAP) tag() string {
	i.tags++
	return fmt.Sprintf("a%d", i.tags)
}

// result reads until the tagged result, or until the server wants more.
func (i *IMAP) result(tag string) (result, challenge string, more bool, err error) {
	goodbye := ""
	for {
		line, err := i.c.readLine()
		if err != nil {
			if goodbye != "" {
				err = errors.New(goodbye)
			}
			return "", "", false, err
		}
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			return rest, "", false, nil
		}
		if rest, ok := strings.CutPrefix(line, "+"); ok {
			return "", strings.TrimPrefix(rest, " "), true, nil
		}
		if strings.HasPrefix(line, "* BYE") {
			goodbye = line
		}
	}
}

// astring quotes a string; what quotes cannot hold becomes a literal that
// waits for no consent (LITERAL+).
func astring(s string) string {
	for _, b := range []byte(s) {
		if b == '\r' || b == '\n' || b >= 0x80 {
			return fmt.Sprintf("{%d+}\r\n%s", len(s), s)
		}
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
