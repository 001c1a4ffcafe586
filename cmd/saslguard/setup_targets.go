package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/doctor"
)

// found returns the version that was said, or that is found here, and says which.
func (s *setup) found(c *cobra.Command, name string, ask func(context.Context) (string, error)) (major, minor int, err error) {
	version := s.version
	if version == "" {
		if version, err = ask(c.Context()); err != nil {
			return 0, 0, fmt.Errorf("%s is not found on this machine (%w): say for which --version it is to be", name, err)
		}
		s.note("Found %s %s.", name, version)
	}
	s.said.Version = version
	if major, minor, err = doctor.ParseVersion(version); err != nil {
		return 0, 0, usageError{fmt.Errorf("--version: %w", err)}
	}
	return major, minor, nil
}

// postfixNewest is the newest Postfix whose settings are known.
const postfixNewest = 3

// policyContext is what Postfix 3.0 does not know.
var policyContext = regexp.MustCompile(`, policy_context=\w+`)

func (s *setup) postfix(c *cobra.Command, conf *configs.Config) error {
	major, minor, err := s.found(c, "Postfix", doctor.PostfixVersion)
	if err != nil {
		return err
	}
	if major < 3 {
		return fmt.Errorf("Postfix %d.%d cannot be told to go on without a policy service that is away: mail would stop with saslguard; it takes 3.0", major, minor)
	}
	if major > postfixNewest {
		s.note("Postfix %d is newer than this saslguard knows (%d): check with postfix check and saslguard doctor.", major, postfixNewest)
	}
	if err := s.add("postfix/main.cf", "postfix/master.cf"); err != nil {
		return err
	}
	if major == 3 && minor == 0 {
		s.edit(func(text string) string { return policyContext.ReplaceAllString(text, "") })
		s.note("Postfix 3.0 knows no policy_context: services are judged by their ports, and nothing but bans by an operator counts on port 25.")
	}
	if _, err := net.LookupPort("tcp", "submissions"); err != nil {
		s.edit(func(text string) string { return strings.ReplaceAll(text, "\nsubmissions inet", "\nsmtps       inet") })
	}
	if address := firstListener(conf.Postfix.Listen); address != "" {
		s.edit(func(text string) string { return strings.ReplaceAll(text, "{ inet:127.0.0.1:10035", "{ "+address) })
	}
	s.note("Then: postfix reload, and saslguard doctor says what your own services still lack.")
	return nil
}

// firstListener is where Postfix asks, as its settings have it; "" for nowhere.
func firstListener(listen []string) string {
	if len(listen) == 0 {
		return ""
	}
	path, isUnix := strings.CutPrefix(listen[0], "unix:")
	if !isUnix {
		return "inet:" + listen[0]
	}
	// A chrooted smtpd sees its queue directory only, and names are relative to it.
	if inside, err := filepath.Rel("/var/spool/postfix", path); err == nil && !strings.HasPrefix(inside, "..") {
		path = inside
	}
	return "unix:" + path
}

// nonces are what a value of Dovecot's can hold without quotes.
var nonces = regexp.MustCompile(`^[!-~]{16,256}$`)

func (s *setup) dovecot(c *cobra.Command, conf *configs.Config) error {
	major, minor, err := s.found(c, "Dovecot", doctor.DovecotVersion)
	if err != nil {
		return err
	}
	name := "dovecot/2.4/90-saslguard.conf"
	switch {
	case major == 2 && minor == 3:
		name = "dovecot/2.3/90-saslguard.conf"
	case major > 2 || major == 2 && minor > doctor.DovecotNewest:
		s.note("Dovecot %d.%d is newer than this saslguard knows (2.%d): this is the file for 2.%[3]d. Check it with doveconf -n, and what it does with saslguard doctor.", major, minor, doctor.DovecotNewest)
	case major < 2 || major == 2 && minor < 3:
		return fmt.Errorf("Dovecot %d.%d is too old; it takes 2.3", major, minor)
	}
	nonce := s.nonce
	switch {
	case nonce == "":
		secret := make([]byte, 16)
		if _, err := rand.Read(secret); err != nil {
			return err
		}
		nonce = hex.EncodeToString(secret)
		s.note("The nonce is new. All hosts need the same: on the others, saslguard setup dovecot --nonce %s", nonce)
	case !nonces.MatchString(nonce) || strings.ContainsAny(nonce, `"#\$%<`):
		return usageError{fmt.Errorf(`--nonce: it is 16 to 256 printable characters without spaces, ", #, \, $, %% and <, such as openssl rand -hex 16 prints`)}
	}
	if err := s.add(name); err != nil {
		return err
	}
	text := s.said.Files[0].Text
	text = strings.Replace(text, "auth_policy_hash_nonce = change-me", "auth_policy_hash_nonce = "+nonce, 1)
	text = strings.Replace(text, "# A secret that goes into the hashes of passwords. CHANGE IT, to the output of\n#   openssl rand -hex 16\n# and to the same on all hosts: else", "# A secret that goes into the hashes of passwords, the same on all hosts: else", 1)
	for _, address := range conf.Dovecot.Listen {
		if !strings.HasPrefix(address, "unix:") {
			scheme := "http"
			if conf.Dovecot.TLSCert != "" {
				scheme = "https"
			}
			text = strings.Replace(text, "auth_policy_server_url = http://127.0.0.1:4001/", "auth_policy_server_url = "+scheme+"://"+address+"/", 1)
			break
		}
	}
	s.said.Files[0].Text = text
	if conf.Dovecot.APIKey != "" {
		s.note("saslguard has a dovecot.api_key: put it into auth_policy_server_api_header. It is not printed here.")
	}
	s.note("The file has a secret: chmod 600, then doveadm reload, and saslguard doctor says whether Dovecot asks.")
	return nil
}

// systemdOldest is the first systemd that makes the state directory.
const systemdOldest = 235

func (s *setup) systemd(c *cobra.Command) error {
	major, _, err := s.found(c, "systemd", doctor.SystemdVersion)
	if err != nil {
		return err
	}
	if major < systemdOldest {
		s.note("systemd %d does not know StateDirectory=: make /var/lib/saslguard yourself, for the user saslguard, with mode 700.", major)
	}
	s.note("These are several files; each begins with a comment that has its name.")
	return s.add("systemd/saslguard.service", "systemd/saslguard-dovecot.socket", "systemd/saslguard-postfix.socket", "systemd/saslguard-control.socket")
}
