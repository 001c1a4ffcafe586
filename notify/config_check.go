package notify

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// minSecret is the shortest secret of the webhook.
const minSecret = 16

// Check reports everything that is wrong with the configuration, by keys relative
// to it. Files are read by New and Reload. What it says repeats no secret.
func (c *Config) Check(problem func(key, text string)) {
	if len(c.URLs) > maxTargets {
		problem("urls", fmt.Sprintf("are %d; allowed are %d at most", len(c.URLs), maxTargets))
	}
	for i, raw := range c.URLs {
		key := fmt.Sprintf("urls[%d]", i)
		if _, err := newService(key, raw); err != nil {
			problem(key, err.Error())
		}
	}
	absolute(problem, "urls_file", c.URLsFile)
	c.Webhook.check(problem)
	for i, e := range c.Events {
		if !slices.Contains(Kinds(), Kind(e)) {
			problem(fmt.Sprintf("events[%d]", i), fmt.Sprintf("%q is not known; allowed is %s", clean(e, 40), kindNames()))
		}
	}
	span(problem, "digest", c.Digest, time.Minute, 24*time.Hour, "1m to 1d")
	span(problem, "again", c.Again, time.Minute, 30*24*time.Hour, "1m to 30d")
	span(problem, "max_age", c.MaxAge, time.Minute, time.Hour, "1m to 1h")
	// A client's ring of guesses holds 63.
	if n := c.SprayAccounts; n != 0 && (n < 2 || n > 60) {
		problem("spray_accounts", fmt.Sprintf("%d is out of range; allowed is 2 to 60, or 0 for never", n))
	}
	if n := c.Guesses; n != 0 && (n < 2 || n > 1000) {
		problem("guesses", fmt.Sprintf("%d is out of range; allowed is 2 to 1000, or 0 for never", n))
	}
}

func (c *WebhookConfig) check(problem func(key, text string)) {
	absolute(problem, "webhook.secret_file", c.SecretFile)
	absolute(problem, "webhook.ca_file", c.CAFile)
	if c.URL == "" {
		for key, value := range map[string]string{"webhook.secret": c.Secret, "webhook.secret_file": c.SecretFile, "webhook.ca_file": c.CAFile} {
			if value != "" {
				problem(key, "has no effect without webhook.url")
			}
		}
		return
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		problem("webhook.url", "is no such URL; allowed is https://…, and http://… on loopback")
	}
	switch {
	case c.Secret != "" && c.SecretFile != "":
		problem("webhook.secret", "is set together with webhook.secret_file; allowed is one of them")
	case c.SecretFile == "" && len(c.Secret) < minSecret:
		problem("webhook.secret", fmt.Sprintf("has %d octets; allowed is %d or more, such as openssl rand -hex 32 prints, or set webhook.secret_file", len(c.Secret), minSecret))
	}
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

func absolute(problem func(key, text string), key, path string) {
	if path != "" && !strings.HasPrefix(path, "/") {
		problem(key, fmt.Sprintf("%q is relative; allowed is a path that begins with /, or \"\"", clean(path, 200)))
	}
}

func span(problem func(key, text string), key string, v, low, high time.Duration, allowed string) {
	if v < low || v > high {
		problem(key, fmt.Sprintf("%v is out of range; allowed is %s", v, allowed))
	}
}

func kindNames() string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}
