package lab

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
)

// Mechanism is the SASL mechanism a client uses.
type Mechanism string

// What Dovecot of the lab offers. LOGIN is the mechanism; IMAP's own LOGIN
// command and POP3's USER and PASS are [NoMechanism].
const (
	NoMechanism Mechanism = ""
	Plain       Mechanism = "PLAIN"
	LoginMech   Mechanism = "LOGIN"
	CRAMMD5     Mechanism = "CRAM-MD5"
	SCRAMSHA1   Mechanism = "SCRAM-SHA-1"
	SCRAMSHA256 Mechanism = "SCRAM-SHA-256"
)

// saslClient is the client's side of one authentication.
type saslClient struct {
	first bool // the client speaks first: its answer goes with the command
	// answer is what the client says to the challenge; nil to no challenge.
	answer func(challenge []byte) ([]byte, error)
}

func (m Mechanism) client(user, password string) (saslClient, error) {
	switch m {
	case Plain:
		return saslClient{first: true, answer: func([]byte) ([]byte, error) {
			return []byte("\x00" + user + "\x00" + password), nil
		}}, nil
	case LoginMech:
		answers := []string{user, password}
		return saslClient{answer: func([]byte) ([]byte, error) {
			if len(answers) == 0 {
				return nil, errors.New("LOGIN: the server asks a third time")
			}
			next := answers[0]
			answers = answers[1:]
			return []byte(next), nil
		}}, nil
	case CRAMMD5:
		return saslClient{answer: func(challenge []byte) ([]byte, error) {
			mac := hmac.New(md5.New, []byte(password))
			mac.Write(challenge)
			return []byte(user + " " + hex.EncodeToString(mac.Sum(nil))), nil
		}}, nil
	case SCRAMSHA1, SCRAMSHA256:
		return scramClient(m, user, password), nil
	}
	return saslClient{}, fmt.Errorf("the lab's clients do not know the mechanism %q", string(m))
}

// authenticate leads the conversation of any of the protocols. start sends the
// command with an initial answer, or "", and answer sends the next answer, both
// in base64; they return the server's challenge and whether it wants more.
func (m Mechanism) authenticate(user, password string, start, answer func(text string) (challenge string, more bool, err error)) error {
	c, err := m.client(user, password)
	if err != nil {
		return err
	}
	initial := ""
	if c.first {
		first, err := c.answer(nil)
		if err != nil {
			return err
		}
		initial = base64.StdEncoding.EncodeToString(first)
	}
	challenge, more, err := start(initial)
	for more && err == nil {
		var asked, said []byte
		if asked, err = base64.StdEncoding.DecodeString(challenge); err != nil {
			return fmt.Errorf("%s: the challenge %q is not base64", m, challenge)
		}
		if said, err = c.answer(asked); err != nil {
			return err
		}
		challenge, more, err = answer(base64.StdEncoding.EncodeToString(said))
	}
	return err
}
