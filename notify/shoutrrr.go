package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

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

// redact takes out of an error what belongs to the URL, and all other URLs. Libraries
// quote, decode and change the case of what they complain of, so it goes by words.
func (s *service) redact(err error) error {
	if err == nil {
		return nil
	}
	words := strings.Fields(err.Error())
	for i, w := range words {
		if strings.Contains(w, "://") {
			words[i] = "…"
		}
	}
	const odd = "\uFFFD" // for octets that are no text, which no pattern can have
	text := strings.ToValidUTF8(strings.Join(words, " "), odd)
	for _, secret := range secrets(s.raw) {
		text = regexp.MustCompile("(?i)"+regexp.QuoteMeta(strings.ToValidUTF8(secret, odd))).ReplaceAllLiteralString(text, "…")
	}
	return errors.New(printable(text, 300))
}

// shortestSecret is what a run of letters and digits in a URL has to have to be taken
// for a secret. Shorter ones are words such as yes, or nobody's secret.
const shortestSecret = 5

// secrets are all runs of letters and digits of a URL, as it is written and as it is
// meant, and its parts as a whole, the longest first, but for those that an error had better name: the
// addresses of mail, and a host with a domain. Many URLs have a token for a host.
func secrets(raw string) []string {
	named := map[string]bool{}
	parts := []string{raw}
	if u, err := url.Parse(raw); err == nil {
		parts = append(parts, u.Fragment, u.User.String(), u.User.Username())
		parts = append(parts, strings.Split(u.Path, "/")...)
		password, _ := u.User.Password()
		parts = append(parts, password)
		keep := []string{u.Scheme}
		if strings.Contains(u.Hostname(), ".") || u.Scheme == "smtp" {
			keep = append(keep, u.Host)
		}
		for key, values := range u.Query() {
			parts = append(append(parts, key), values...)
			switch strings.ToLower(key) {
			case "from", "fromaddress", "to", "toaddresses":
				keep = append(keep, values...)
			}
		}
		for _, k := range keep {
			for _, run := range runs(k) {
				named[run] = true
			}
		}
	}
	var all []string
	for i, p := range parts {
		for _, run := range runs(p) {
			if len(run) >= shortestSecret && !named[run] {
				all = append(all, run)
			}
		}
		// As a whole too, where it has no long run: not the whole URL, and no address.
		if i > 0 && len(p) >= shortestSecret && !slices.ContainsFunc(runs(p), func(r string) bool { return named[r] }) {
			quoted := strconv.Quote(p)
			all = append(all, p, quoted[1:len(quoted)-1], url.QueryEscape(p), url.PathEscape(p))
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return slices.Compact(all)
}

func runs(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// silent is a logger for services, who log what they send and to whom.
type silent struct{}

func (silent) Print(...any)          {}
func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}
