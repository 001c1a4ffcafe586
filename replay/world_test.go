package replay

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/maillog"
)

// testRules are the shipped rules, spelled out so that a change of the defaults does
// not change what these tests say.
func testRules() guard.Config {
	const day = 24 * time.Hour
	return guard.Config{
		HalfLife:  time.Hour,
		Points:    guard.PointsConfig{Failure: 1, UnknownAccount: 1, FurtherAccount: 1, FreeRepeats: 20},
		Client:    guard.ClientConfig{Tarpit: 3, Refuse: 10, Ban: 20, IPv4: 32, IPv6: 64},
		Network:   guard.NetworkConfig{Tarpit: 20, IPv4: 24, IPv6: 48},
		Account:   guard.AccountConfig{Tarpit: 10, Refuse: 20},
		Familiar:  guard.FamiliarConfig{For: 30 * day, Budget: 10, Office: 3},
		Passwords: guard.PasswordsConfig{Remember: 3, For: 90 * day},
		Tarpit:    guard.TarpitConfig{Max: 5 * time.Second, MaxSMTP: 4 * time.Second, HeldPostfix: 20, HeldDovecot: 50, HeldClient: 2},
		Ban:       guard.BanConfig{First: time.Hour, Max: 30 * day, Forget: 60 * day},
		Brake:     guard.BrakeConfig{Networks: 10, Pause: 10 * time.Minute},

		AllowClients: []string{"127.0.0.0/8", "::1/128"},
	}
}

// mail is a log that is being written.
type mail struct {
	*testing.T
	at  time.Time
	log bytes.Buffer
}

func newMail(t *testing.T) *mail {
	return &mail{T: t, at: time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)}
}

// wait lets time pass.
func (m *mail) wait(d time.Duration) { m.at = m.at.Add(d) }

func (m *mail) line(format string, args ...any) {
	fmt.Fprintf(&m.log, "%s mx1 %s\n", m.at.Format(time.RFC3339), fmt.Sprintf(format, args...))
}

// fail is n failed logins, a second apart.
func (m *mail) fail(client, account string, n int) {
	for range n {
		m.line("postfix/submission/smtpd[7]: warning: unknown[%s]: SASL LOGIN authentication failed: authentication failure, sasl_username=%s", client, account)
		m.wait(time.Second)
	}
}

func (m *mail) succeed(client, account string) {
	m.line("postfix/submission/smtpd[7]: 4F2A7B1C9D: client=unknown[%s], sasl_method=PLAIN, sasl_username=%s", client, account)
	m.wait(time.Second)
}

// replay replays what was written, with options changed.
func (m *mail) replay(change func(*Options)) *Report {
	m.Helper()
	r, err := run(m.T, m.log.Bytes(), change)
	if err != nil {
		m.Fatal(err)
	}
	return r
}

func run(t testing.TB, log []byte, change func(*Options)) (*Report, error) {
	t.Helper()
	o := Options{
		Paths: []string{"-"}, Stdin: bytes.NewReader(log),
		Log:  maillog.Options{Location: time.UTC, Latest: time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)},
		Sets: []RuleSet{{Name: "test", Rules: testRules()}},
	}
	if change != nil {
		change(&o)
	}
	return Run(t.Context(), o)
}

// client is the row of a client; the zero one if it is not listed.
func (r *Report) client(name string) Client {
	for _, c := range r.Results[0].Clients {
		if c.Client == name {
			return c
		}
	}
	return Client{}
}

// table is the report as people see it.
func (r *Report) table(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// write writes a file of a test.
func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
