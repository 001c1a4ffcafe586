package notify

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// service is a receiver behind a URL of shoutrrr's. Such a URL is a secret as a
// whole, and so is what its services say of it in their errors.
type service struct {
	label  string
	scheme string
	raw    string
	// busy holds a token for each call that has not returned. Services take no
	// context and not all have a deadline: so many calls may hang, and no more.
	busy chan struct{}
}

const maxHanging = 4

func newService(label, raw string) (*service, error) {
	u, err := parseURL(raw)
	if err != nil {
		return nil, err
	}
	scheme, _, _ := strings.Cut(u.Scheme, "+")
	s := &service{label: label + " " + scheme, scheme: scheme, raw: raw, busy: make(chan struct{}, maxHanging)}
	if scheme == "matrix" { // logs in when it is made
		return s, nil
	}
	_, err = s.make()
	return s, err
}

// parseURL is url.Parse with errors that do not repeat the URL.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" {
		return nil, errors.New("is no URL; allowed is one of shoutrrr's, such as smtp://user:password@mail.example.org:587/?from=saslguard@example.org&to=postmaster@example.org")
	}
	var r router.ServiceRouter
	scheme, _, _ := strings.Cut(u.Scheme, "+")
	known := r.ListServices()
	slices.Sort(known)
	known = slices.DeleteFunc(known, func(s string) bool { return s == "logger" }) // tells nobody
	if !slices.Contains(known, scheme) {
		return nil, fmt.Errorf("has a scheme that is not known; allowed is %s", strings.Join(known, ", "))
	}
	return u, nil
}

// make makes the service anew for every message: they are not made to be used by
// several at once.
func (s *service) make() (types.Service, error) {
	u, err := parseURL(s.raw)
	if err != nil {
		return nil, err
	}
	var r router.ServiceRouter
	made, err := r.NewService(s.scheme)
	if err != nil {
		return nil, fmt.Errorf("is not understood: %w", s.redact(err))
	}
	if u.Scheme != s.scheme {
		custom, ok := made.(types.CustomURLService)
		if !ok {
			return nil, fmt.Errorf("has a scheme with a +, which %s does not know", s.scheme)
		}
		if u, err = custom.GetConfigURLFromCustom(u); err != nil {
			return nil, fmt.Errorf("is not understood by %s: %w", s.scheme, s.redact(err))
		}
	}
	if err := made.Initialize(u, silent{}); err != nil {
		return nil, fmt.Errorf("is not understood by %s: %w", s.scheme, s.redact(err))
	}
	return made, nil
}

func (s *service) name() string { return s.label }

// send implements target. A call that does not return in time goes on by itself,
// and may still deliver.
func (s *service) send(ctx context.Context, m message) error {
	select {
	case s.busy <- struct{}{}:
	default:
		return fmt.Errorf("%d earlier calls have not returned", maxHanging)
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-s.busy }()
		defer func() {
			if p := recover(); p != nil {
				done <- s.redact(fmt.Errorf("the service failed: %v", p))
			}
		}()
		made, err := s.make()
		if err == nil {
			err = made.Send(m.text, &types.Params{types.TitleKey: m.title})
		}
		done <- s.redact(err)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.New("no answer in time")
	}
}

// redact takes out of an error what belongs to the URL, and all other URLs.
func (s *service) redact(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, secret := range secrets(s.raw) {
		text = strings.ReplaceAll(text, secret, "…")
	}
	words := strings.Fields(text)
	for i, w := range words {
		if strings.Contains(w, "://") {
			words[i] = "…"
		}
	}
	return errors.New(printable(strings.Join(words, " "), 300))
}

// secrets are the parts of a URL that could be secret: all but the host, which an
// error had better name, in the forms in which they could be shown. The longest
// come first. Short parts are words such as yes, or nobody's secret.
func secrets(raw string) []string {
	const shortest = 4
	parts := []string{raw}
	if u, err := url.Parse(raw); err == nil {
		parts = append(parts, u.String(), u.RawQuery, u.Path, u.EscapedPath(), u.Fragment)
		if u.User != nil {
			password, _ := u.User.Password()
			parts = append(parts, u.User.String(), u.User.Username(), password, url.QueryEscape(password), url.PathEscape(password))
		}
		for _, p := range strings.Split(u.Path, "/") {
			parts = append(parts, p, url.PathEscape(p))
		}
		for key, values := range u.Query() {
			switch strings.ToLower(key) {
			case "from", "fromaddress", "to", "toaddresses": // an error says which was refused
				continue
			}
			for _, v := range values {
				parts = append(parts, v, url.QueryEscape(v))
			}
		}
		switch u.Scheme {
		case "smtp": // only its user and password are secret, beside the parameters
		default:
			if !strings.Contains(u.Hostname(), ".") { // many have a token for a host
				parts = append(parts, u.Host, u.Hostname())
			}
		}
	}
	parts = slices.DeleteFunc(parts, func(p string) bool { return len(p) < shortest })
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(parts)
}

// silent is a logger for services, who log what they send and to whom.
type silent struct{}

func (silent) Print(...any)          {}
func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}
