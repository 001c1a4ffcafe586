package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/saslguard/saslguard/configs"
)

// postfix is what is known of the Postfix of this machine.
type postfix struct {
	err      error // nothing else is known
	version  string
	main     map[string]string // all parameters of main.cf, $name expanded
	services []*service        // those of master.cf that speak SMTP to clients
	typos    []string          // smtpd_ parameters that Postfix does not know

	answers map[string]answer // of our policy services, by question.String
}

// answer is what a policy service did when it was asked.
type answer struct {
	action string // "" if err
	err    error
}

func lookAtPostfix(ctx context.Context, program, dir string) *postfix {
	p := &postfix{answers: map[string]answer{}}
	p.err = p.read(ctx, program, dir)
	return p
}

func (p *postfix) read(ctx context.Context, program, dir string) error {
	path, err := find(program, "postconf")
	if err != nil {
		return err
	}
	postconf := func(flags string) (string, string, error) {
		args := []string{flags}
		if dir != "" {
			args = []string{"-c", dir, flags}
		}
		return run(ctx, path, args...)
	}
	all, complaints, err := postconf("-x")
	if err != nil {
		return err
	}
	if p.main, err = parseParameters(all); err != nil {
		return err
	}
	p.version, p.typos = p.main["mail_version"], misspelt(complaints)
	lines, _, err := postconf("-M")
	if err != nil {
		return err
	}
	services, err := parseServices(lines)
	if err != nil {
		return err
	}
	overrides, _, err := postconf("-Px")
	if err != nil {
		return err
	}
	if err := parseOverrides(overrides, services); err != nil {
		return err
	}
	for _, s := range services {
		// What "-" in the column chroot is, COMPATIBILITY_README says.
		if level, ok := whole(p.main["compatibility_level"]); s.chrootDefault && ok && level == 0 {
			s.chroot = true
		}
	}
	p.services = slices.DeleteFunc(services, func(s *service) bool {
		return s.command != "smtpd" || s.kind != "inet" && s.kind != "pass"
	})
	return nil
}

// misspelt picks from postconf's warnings the smtpd parameters that nothing
// uses. Others (127.0.0.1:10035_time_limit) may well be used.
func misspelt(complaints string) []string {
	const most = 20
	var names []string
	for line := range strings.Lines(complaints) {
		_, setting, ok := strings.Cut(line, "unused parameter: ")
		name, _, _ := strings.Cut(setting, "=")
		if ok && strings.HasPrefix(name, "smtpd_") && !slices.Contains(names, name) && len(names) < most {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}

// get is a parameter as a service has it.
func (p *postfix) get(s *service, name string) string {
	if v, ok := s.settings[name]; ok {
		return v
	}
	return p.main[name]
}

// is tells whether a parameter is yes.
func (p *postfix) is(s *service, name string) bool {
	return strings.EqualFold(p.get(s, name), "yes")
}

// list is a list of restrictions as a service has it.
func (p *postfix) list(s *service, name string) ([]restriction, error) {
	classes := map[string]string{}
	for _, class := range strings.FieldsFunc(p.get(s, "smtpd_restriction_classes"), func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }) {
		if value, ok := p.main[class]; ok {
			classes[class] = value
		}
	}
	list, err := restrictions(p.get(s, name), classes)
	if err != nil {
		return nil, fmt.Errorf("%s of %s cannot be read: %w", name, s, err)
	}
	return list, nil
}

// socket is the file of a Unix socket that a service names: smtpd works in the
// queue directory, and sees nothing else if it is chrooted.
func (p *postfix) socket(s *service, address string) string {
	if filepath.IsAbs(address) && !s.chroot {
		return filepath.Clean(address)
	}
	return filepath.Join(p.main["queue_directory"], address)
}

// ours tells whether a question goes to saslguard: to where it listens, to the
// same port of another host, or to a socket with its name.
func (p *postfix) ours(c *configs.Config, s *service, q *question) bool {
	for _, address := range c.Postfix.Listen {
		path, isUnix := strings.CutPrefix(address, "unix:")
		_, port, _ := net.SplitHostPort(address)
		_, theirs, _ := net.SplitHostPort(q.address)
		switch {
		case isUnix && q.network == "unix" && (p.socket(s, q.address) == filepath.Clean(path) || clean(q.address) == clean(path)):
			return true
		case !isUnix && q.network == "tcp" && port != "" && port == theirs:
			return true
		}
	}
	return q.network == "unix" && strings.Contains(filepath.Base(q.address), "saslguard")
}

// ask asks every policy service that is ours one question.
func (p *postfix) ask(ctx context.Context, c *configs.Config) {
	for _, s := range p.services {
		list, err := p.list(s, "smtpd_client_restrictions")
		if err != nil {
			continue // checkPostfix says so
		}
		for _, r := range list {
			if q := r.question; q != nil && p.ours(c, s, q) && len(p.answers) < maxAsked {
				address := q.address
				if q.network == "unix" {
					address = p.socket(s, q.address)
				}
				if _, asked := p.answers[q.String()]; !asked {
					action, err := askPolicy(ctx, q.network, address)
					p.answers[q.String()] = answer{action, err}
				}
			}
		}
	}
}

const (
	maxAsked   = 10 // policy services
	askTimeout = 3 * time.Second
	maxAnswer  = 4 << 10 // octets
)

// askPolicy asks what Postfix asks at CONNECT, about loopback, which nobody
// guesses from: a question at CONNECT counts nothing.
func askPolicy(ctx context.Context, network, address string) (string, error) {
	dialer := net.Dialer{Timeout: askTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(askTimeout)); err != nil {
		return "", err
	}
	const request = "request=smtpd_access_policy\nprotocol_state=CONNECT\nprotocol_name=SMTP\nclient_address=127.0.0.1\nclient_port=0\npolicy_context=doctor\n\n"
	if _, err := io.WriteString(conn, request); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(io.LimitReader(conn, maxAnswer)).ReadString('\n')
	if err != nil {
		return "", err
	}
	action, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "action=")
	if !ok {
		return "", errors.New("what answers there does not speak Postfix's policy protocol")
	}
	return action, nil
}
