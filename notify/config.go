package notify

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Config is the `notify` part of the configuration. Without a receiver nothing is
// told.
type Config struct {
	// URLs are receivers as shoutrrr writes them; URLsFile is a file with one on each
	// line, beside those.
	URLs     []string `mapstructure:"urls" secret:"true"`
	URLsFile string   `mapstructure:"urls_file"`

	Webhook WebhookConfig `mapstructure:"webhook"`

	Events     []string      `mapstructure:"events"`      // of Kinds
	Observed   bool          `mapstructure:"observed"`    // bans that are only observed, too
	Operators  bool          `mapstructure:"operators"`   // operators' own bans, too
	HideLogins bool          `mapstructure:"hide_logins"` // name no account
	Digest     time.Duration `mapstructure:"digest"`      // what is not told at once waits so long, 1m to 1d
	Again      time.Duration `mapstructure:"again"`       // the same is told again after so long, 1m to 30d
	MaxAge     time.Duration `mapstructure:"max_age"`     // what happened longer ago is not told, 1m to 1h

	SprayAccounts int `mapstructure:"spray_accounts"` // accounts that a client tries, 2 to 60; 0 is off
	Guesses       int `mapstructure:"guesses"`        // failures before a success is suspicious, 2 to 1000; 0 is off
}

// WebhookConfig is a receiver of signed JSON.
type WebhookConfig struct {
	URL        string `mapstructure:"url" secret:"true"` // https, or http on loopback; "": none
	Secret     string `mapstructure:"secret" secret:"true"`
	SecretFile string `mapstructure:"secret_file"` // whose first line is the secret
	CAFile     string `mapstructure:"ca_file"`     // PEM; "": those of the system
}

// maxFile bounds what is read of a file that the configuration names.
const maxFile = 256 << 10

// maxTargets bounds the receivers: each has a goroutine and a queue.
const maxTargets = 20

// settings are a Config made ready for use. They are immutable.
type settings struct {
	config  Config
	targets []target
}

// prepare reads the files of a configuration that has passed Check.
func (c Config) prepare() (*settings, error) {
	s := &settings{config: c}
	named := c.URLs
	labels := make([]string, 0, len(named))
	for i := range named {
		labels = append(labels, fmt.Sprintf("urls[%d]", i))
	}
	if c.URLsFile != "" {
		text, err := readFile(c.URLsFile)
		if err != nil {
			return nil, fmt.Errorf("notify.urls_file: %w", err)
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		for n := 1; lines.Scan(); n++ {
			if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "#") {
				named = append(named[:len(named):len(named)], line)
				labels = append(labels, fmt.Sprintf("urls_file:%d", n))
			}
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("notify.urls_file: %w", err)
		}
	}
	if len(named) > maxTargets {
		return nil, fmt.Errorf("notify: there are %d URLs; allowed are %d at most", len(named), maxTargets)
	}
	for i, raw := range named {
		t, err := newService(labels[i], raw)
		if err != nil {
			return nil, fmt.Errorf("notify.%s %w", labels[i], err)
		}
		s.targets = append(s.targets, t)
	}
	return s, s.addWebhook(c.Webhook)
}

func (s *settings) addWebhook(c WebhookConfig) error {
	if c.URL == "" {
		return nil
	}
	secret, err := c.secret()
	if err != nil {
		return fmt.Errorf("notify.%w", err)
	}
	var ca []byte
	if c.CAFile != "" {
		if ca, err = readFile(c.CAFile); err != nil {
			return fmt.Errorf("notify.webhook.ca_file: %w", err)
		}
	}
	w, err := newWebhook(c, secret, ca)
	if err != nil {
		return fmt.Errorf("notify.%w", err)
	}
	s.targets = append(s.targets, w)
	return nil
}

// secret is the secret of the webhook.
func (c WebhookConfig) secret() ([]byte, error) {
	secret := c.Secret
	if c.SecretFile != "" {
		text, err := readFile(c.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("webhook.secret_file: %w", err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		secret = strings.TrimSpace(first)
	}
	if len(secret) < minSecret {
		return nil, fmt.Errorf("webhook.secret has %d octets; allowed is %d or more, such as openssl rand -hex 32 prints", len(secret), minSecret)
	}
	return []byte(secret), nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = errors.New(name + " is too long; allowed are 256 KiB")
	}
	return text, err
}
