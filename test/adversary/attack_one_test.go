package adversary

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
)

// One client, one connection, many guesses: a log reader sees nothing of them in
// Dovecot's log until the connection ends.
func TestManyGuessesOnOneConnection(t *testing.T) {
	t.Parallel()
	s := newSite(t, plan{})
	h := s.hosts[0]
	guesses := 24
	if *long {
		guesses = 60
	}
	for i, by := range []struct {
		protocol string
		talk     func(header []byte, user string, passwords []string) (sent int, err error)
		server   netip.AddrPort
	}{
		{"IMAP", h.talkIMAP, h.dovecot.IMAPProxy},
		{"POP3", h.talkPOP3, h.dovecot.POP3Proxy},
		{"SMTP", h.talkSMTP, h.postfix.SubmissionProxy},
	} {
		t.Run(by.protocol, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			client := fmt.Sprintf("203.0.113.%d", 1+i)
			began := time.Now()
			header := lab.ProxyV1(netip.AddrPortFrom(netip.MustParseAddr(client), 50000), by.server)
			sent, err := by.talk(header, user(i), wrong(user(i), client, guesses))
			if sent < 21 {
				t.Errorf("only %d guesses could be sent: %v", sent, err)
			}
			s.exactly(row{
				Scenario: "one connection, " + by.protocol, Guesses: sent,
				Verified: s.verified(ofUser(user(i))), Banned: s.bannedAfter(began, client),
			}, 10)
		})
	}
}

// talkIMAP guesses on one connection until it ends.
func (h *host) talkIMAP(header []byte, user string, passwords []string) (sent int, err error) {
	c, _, err := lab.DialIMAP(h.dovecot.IMAPProxy, header)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for _, p := range passwords {
		if _, err := c.Login(user, p); err != nil {
			return sent, err
		}
		sent++
	}
	return sent, nil
}

func (h *host) talkPOP3(header []byte, user string, passwords []string) (sent int, err error) {
	c, _, err := lab.DialPOP3(h.dovecot.POP3Proxy, header)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for _, p := range passwords {
		if _, err := c.Login(user, p); err != nil {
			return sent, err
		}
		sent++
	}
	return sent, nil
}

func (h *host) talkSMTP(header []byte, user string, passwords []string) (sent int, err error) {
	c, _, err := lab.DialSMTP(h.postfix.SubmissionProxy, header)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := c.Hello("client.example"); err != nil {
		return 0, err
	}
	for _, p := range passwords {
		if _, err := c.Auth(lab.Plain, user, p); err != nil {
			return sent, err
		}
		sent++
	}
	return sent, nil
}
