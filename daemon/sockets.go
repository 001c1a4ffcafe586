package daemon

import (
	"errors"
	"fmt"
	"net"

	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/listen"
)

// sockets are what the daemon listens on. Sockets that systemd passes are told
// apart by their FileDescriptorName: postfix, dovecot, admin, control.
type sockets struct {
	postfix, dovecot, admin, control []net.Listener
}

// openSockets opens all or none. The control socket is at a path, "" for none.
func openSockets(c *configs.Config, control string) (s *sockets, err error) {
	s = new(sockets)
	defer func() {
		if err != nil {
			s.close()
			s = nil
		}
	}()
	passed, err := listen.Inherited()
	if err != nil {
		return s, err
	}
	open := func(name string, lc listen.Config) ([]net.Listener, error) {
		ls, err := listen.Open(lc, passed[name])
		delete(passed, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return ls, nil
	}
	if s.postfix, err = open("postfix", c.Postfix.Config); err != nil {
		return s, err
	}
	if s.dovecot, err = open("dovecot", c.Dovecot.Config); err != nil {
		return s, err
	}
	var adminConfig listen.Config
	if c.Admin.Listen != "" {
		adminConfig.Listen = []string{c.Admin.Listen}
	}
	if s.admin, err = open("admin", adminConfig); err != nil {
		return s, err
	}
	var controlConfig listen.Config
	if control != "" {
		controlConfig = c.Admin.Control.SocketConfig(control)
	}
	if s.control, err = open("control", controlConfig); err != nil {
		return s, err
	}
	tcp, err := open("control", c.Admin.Control.TCPConfig())
	if err != nil {
		return s, err
	}
	s.control = append(s.control, tcp...)
	if err := refuseExposed(c, s); err != nil {
		return s, err
	}
	for name, ls := range passed {
		closeAll(ls)
		return s, fmt.Errorf("systemd passed a socket named %q, which nothing here listens on; FileDescriptorName= is postfix, dovecot, admin or control", name)
	}
	return s, nil
}

// refuseExposed keeps sockets that systemd passes to what Check asks of the addresses
// in the configuration. Dovecot's and Postfix's faces see to their own.
func refuseExposed(c *configs.Config, s *sockets) error {
	for _, l := range s.admin {
		if !listen.Local(l.Addr()) {
			return fmt.Errorf("admin: others than this host can reach %s, and nobody is asked there who he is; its ListenStream= has to be on loopback", l.Addr())
		}
	}
	for _, l := range s.control {
		if !listen.Local(l.Addr()) && c.Admin.Control.TLSCert == "" {
			return fmt.Errorf("control: others than this host can reach %s; that needs admin.control.tls_cert", l.Addr())
		}
	}
	return nil
}

func (s *sockets) close() {
	if s != nil {
		closeAll(s.postfix)
		closeAll(s.dovecot)
		closeAll(s.admin)
		closeAll(s.control)
	}
}

// closeAll closes listeners; that one is closed already is no matter.
func closeAll(ls []net.Listener) error {
	var errs []error
	for _, l := range ls {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// addresses are where listeners listen, for the log.
func addresses(ls []net.Listener) []string {
	var all []string
	for _, l := range ls {
		a := l.Addr().String()
		if l.Addr().Network() == "unix" {
			a = "unix:" + a
		}
		all = append(all, a)
	}
	return all
}
