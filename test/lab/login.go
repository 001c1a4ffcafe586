package lab

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Result is how one login ended.
type Result struct {
	Accepted bool
	Stage    Stage         // what the decisive answer was given to
	Code     int           // SMTP only
	Text     string        // the server's words
	Took     time.Duration // from the connection to the decisive answer
}

// Stage is the step of a login that a server answered.
type Stage string

// The steps of a login, in this order. A client refused before [StageAuth] was
// never asked for a password.
const (
	StageGreeting Stage = "greeting"
	StageXClient  Stage = "xclient"
	StageHello    Stage = "hello"
	StageAuth     Stage = "auth"
)

// Login is one login on a connection of its own, from the client's address,
// or, where that is the zero Addr, from 127.0.0.1. A refusal is a [Result]; an
// error means that the server did not answer. It may be called from many
// goroutines at once.
type Login func(client netip.Addr, user, password string) (Result, error)

// Connect opens a connection for a client, such as through a proxy.
type Connect func(client netip.Addr) (net.Conn, error)

// IMAPLogin logs in by IMAP, with the mechanism or the LOGIN command
// ([NoMechanism]).
func (d *Dovecot) IMAPLogin(m Mechanism) Login {
	return func(client netip.Addr, user, password string) (Result, error) {
		server, header := behindProxy(client, d.IMAP, d.IMAPProxy)
		return imapLogin(func() (*IMAP, string, error) { return DialIMAP(server, header) }, m, user, password)
	}
}

// IMAPLoginOver is an IMAPLogin over such connections.
func IMAPLoginOver(connect Connect, m Mechanism) Login {
	return func(client netip.Addr, user, password string) (Result, error) {
		return imapLogin(func() (*IMAP, string, error) {
			conn, err := connect(client)
			if err != nil {
				return nil, "", err
			}
			return IMAPOver(conn)
		}, m, user, password)
	}
}

func imapLogin(dial func() (*IMAP, string, error), m Mechanism, user, password string) (Result, error) {
	begin := time.Now()
	s, greeting, err := dial()
	if err != nil {
		return Result{}, err
	}
	defer s.Close()
	if !strings.HasPrefix(greeting, "* OK") {
		return Result{Stage: StageGreeting, Text: greeting, Took: time.Since(begin)}, nil
	}
	var text string
	if m == NoMechanism {
		text, err = s.Login(user, password)
	} else {
		text, err = s.Authenticate(m, user, password)
	}
	if err != nil {
		return Result{}, err
	}
	r := Result{Accepted: strings.HasPrefix(text, "OK"), Stage: StageAuth, Text: text, Took: time.Since(begin)}
	s.Logout()
	return r, nil
}

// POP3Login logs in by POP3, with the mechanism or with USER and PASS
// ([NoMechanism]).
func (d *Dovecot) POP3Login(m Mechanism) Login {
	return func(client netip.Addr, user, password string) (Result, error) {
		begin := time.Now()
		server, header := behindProxy(client, d.POP3, d.POP3Proxy)
		s, greeting, err := DialPOP3(server, header)
		if err != nil {
			return Result{}, err
		}
		defer s.Close()
		if !strings.HasPrefix(greeting, "+OK") {
			return Result{Stage: StageGreeting, Text: greeting, Took: time.Since(begin)}, nil
		}
		var text string
		if m == NoMechanism {
			text, err = s.Login(user, password)
		} else {
			text, err = s.Auth(m, user, password)
		}
		if err != nil {
			return Result{}, err
		}
		r := Result{Accepted: strings.HasPrefix(text, "+OK"), Stage: StageAuth, Text: text, Took: time.Since(begin)}
		s.Quit()
		return r, nil
	}
}

// SMTPLogin logs in on the submission service; the client's address is told by
// XCLIENT. The policy server is asked twice: at CONNECT for 127.0.0.1, and in
// the state XCLIENT for the client.
func (p *Postfix) SMTPLogin(m Mechanism) Login {
	return func(client netip.Addr, user, password string) (Result, error) {
		return smtpLogin(func() (*SMTP, Reply, error) { return DialSMTP(p.Submission, nil) }, client, m, user, password)
	}
}

// SMTPProxyLogin logs in on the submission service behind the PROXY protocol.
// The policy server is asked once, at CONNECT for the client: as if the client
// had come by itself.
func (p *Postfix) SMTPProxyLogin(m Mechanism) Login {
	return func(client netip.Addr, user, password string) (Result, error) {
		server, header := behindProxy(client, p.Submission, p.SubmissionProxy)
		return smtpLogin(func() (*SMTP, Reply, error) { return DialSMTP(server, header) }, netip.Addr{}, m, user, password)
	}
}

// SMTPLoginOver is an SMTPProxyLogin over such connections.
func SMTPLoginOver(connect Connect, m Mechanism) Login {
	return func(client netip.Addr, user, password string) (Result, error) {
		return smtpLogin(func() (*SMTP, Reply, error) {
			conn, err := connect(client)
			if err != nil {
				return nil, Reply{}, err
			}
			return SMTPOver(conn)
		}, netip.Addr{}, m, user, password)
	}
}

func smtpLogin(dial func() (*SMTP, Reply, error), xclient netip.Addr, m Mechanism, user, password string) (Result, error) {
	begin := time.Now()
	s, reply, err := dial()
	if err != nil {
		return Result{}, err
	}
	defer s.Close()
	result := func(stage Stage) Result {
		return Result{Accepted: reply.Code == 235, Stage: stage, Code: reply.Code, Text: reply.Text, Took: time.Since(begin)}
	}
	if reply.Code != 220 {
		return result(StageGreeting), nil
	}
	if xclient.IsValid() {
		reply, err = s.XClient(xclient)
		if err != nil || reply.Code != 220 {
			return result(StageXClient), err
		}
	}
	reply, err = s.Hello("client.lab.test")
	if err != nil || reply.Code != 250 {
		return result(StageHello), err
	}
	if m == NoMechanism {
		m = Plain
	}
	if reply, err = s.Auth(m, user, password); err != nil {
		return Result{}, err
	}
	r := result(StageAuth)
	s.Quit()
	return r, nil
}

// behindProxy chooses the port and the PROXY header for a client. The client's
// own port is any of the dynamic ones.
func behindProxy(client netip.Addr, direct, proxied netip.AddrPort) (netip.AddrPort, []byte) {
	if !client.IsValid() {
		return direct, nil
	}
	port := uint16(49152 + rand.IntN(16384))
	return proxied, ProxyV1(netip.AddrPortFrom(client, port), proxied)
}
