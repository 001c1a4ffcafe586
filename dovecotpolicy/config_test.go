package dovecotpolicy

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// problems returns what Check finds, as "key: text".
func problems(cfg Config) []string {
	var all []string
	cfg.SocketMode = "0660"
	cfg.Check(func(key, text string) { all = append(all, key+": "+text) })
	return all
}

func TestConfigCheck(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string // the beginning of the one problem; "": none
	}{
		{func(c *Config) {}, ""},
		{func(c *Config) { c.Listen = []string{"127.0.0.1:4001", "[::1]:4001", "localhost:1", "unix:/run/x"} }, ""},
		{func(c *Config) { c.Listen = []string{"127.0.0.1:4001", "192.0.2.1:4001"} }, "api_key: required, because others can reach 192.0.2.1:4001"},
		{func(c *Config) { c.Listen = []string{":4001"} }, "api_key: required"},
		{func(c *Config) { c.Listen = []string{"[::]:4001"} }, "api_key: required"},
		{func(c *Config) { c.Listen = []string{"policy.example.org:4001"} }, "api_key: required"},
		{func(c *Config) { c.Listen, c.APIKey = []string{":4001"}, "key" }, ""},
		{func(c *Config) { c.Listen, c.User, c.Password = []string{":4001"}, "u", "p" }, ""},
		{func(c *Config) { c.APIKey = "two words" }, "api_key: must be printable ASCII"},
		{func(c *Config) { c.APIKey = "schlüssel" }, "api_key: must be printable ASCII"},
		{func(c *Config) { c.Password = "p" }, "password: needs user"},
		{func(c *Config) { c.User = "u" }, "user: needs password"},
		{func(c *Config) { c.User, c.Password = "u:v", "p" }, "user: must not contain a colon"},
		{func(c *Config) { c.TLSKey = "k" }, "tls_key: needs tls_cert"},
		{func(c *Config) { c.TLSCert = "c" }, "tls_cert: needs tls_key"},
		{func(c *Config) { c.HashMech = "sha257" }, `hash_mech: "sha257" is none of`},
		{func(c *Config) { c.HashMech = "" }, ""},
		{func(c *Config) { c.HashMech, c.Nonce = "", "n" }, `hash_mech: "" is none of`},
		{func(c *Config) { c.HashTruncate = -1 }, "hash_truncate: -1 is not between"},
		{func(c *Config) { c.HashTruncate = 513 }, "hash_truncate: 513 is not between"},
		{func(c *Config) { c.RefuseMessage = "" }, "refuse_message: must not be empty"},
		{func(c *Config) { c.RefuseMessage = " x" }, "refuse_message: must not begin or end"},
		{func(c *Config) { c.RefuseMessage = strings.Repeat("x", 200) }, ""},
		{func(c *Config) { c.RefuseMessage = strings.Repeat("x", 201) }, "refuse_message: has 201 bytes"},
		{func(c *Config) { c.RefuseMessage = "a\r\n* BYE" }, `refuse_message: must be one line of printable ASCII without " \ [ ] { }, and has '\r' at byte 1`},
		{func(c *Config) { c.RefuseMessage = "[ALERT] x" }, "refuse_message: must be"},
		{func(c *Config) { c.RefuseMessage = `a "b"` }, "refuse_message: must be"},
		{func(c *Config) { c.RefuseMessage = "wait {5}" }, "refuse_message: must be"},
		{func(c *Config) { c.RefuseMessage = "zurück" }, "refuse_message: must be"},
		{func(c *Config) { c.MaxConnections = 0 }, "max_connections: 0 is not between 1 and 100000"},
		{func(c *Config) { c.MaxConnections = 100_001 }, "max_connections:"},
		{func(c *Config) { c.MaxBody = 4095 }, "max_body: 4095 is not between 4096 and 1048576"},
		{func(c *Config) { c.MaxBody = 1<<20 + 1 }, "max_body:"},
		{func(c *Config) { c.IdleTimeout = 14 * time.Second }, "idle_timeout: 14s is not between 15s and 1h0m0s"},
		{func(c *Config) { c.ReadTimeout = 0 }, "read_timeout:"},
		{func(c *Config) { c.StaleAfter = 0 }, "stale_after:"},
		{func(c *Config) { c.StaleAfter = time.Hour }, "stale_after:"},
	} {
		cfg := testConfig()
		c.change(&cfg)
		got := problems(cfg)
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.want)) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestConfigWarnings(t *testing.T) {
	for _, c := range []struct {
		listen   []string
		key, tls string
		want     []string // what each contains
	}{
		{[]string{"unix:/run/saslguard/dovecot"}, "", "", nil},
		{[]string{"127.0.0.1:4001"}, "", "", []string{"api_key: is empty, so any program on this host can forge reports on 127.0.0.1:4001"}},
		{[]string{"127.0.0.1:4001"}, "key", "", nil},
		{[]string{"127.0.0.1:4001", "[::1]:4001"}, "", "", []string{"api_key: "}},
		{[]string{":4001", "[::1]:4001"}, "key", "", []string{"tls_cert: is empty, and others than this host can reach :4001"}},
		{[]string{":4001"}, "key", "cert.pem", nil},
	} {
		cfg := testConfig()
		cfg.Listen, cfg.APIKey, cfg.TLSCert = c.listen, c.key, c.tls
		var got []string
		cfg.Warnings(func(key, text string) { got = append(got, key+": "+text) })
		if !slices.EqualFunc(got, c.want, strings.Contains) {
			t.Errorf("%v: %q, want %q", c.listen, got, c.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"tls_cert":       func(c *Config) { c.TLSCert, c.TLSKey = empty, empty },
		"hash_mech":      func(c *Config) { c.Nonce, c.HashMech = "n", "crc32" },
		"refuse_message": func(c *Config) { c.RefuseMessage = "a\nb" },
	} {
		cfg := testConfig()
		change(&cfg)
		if _, err := New(cfg, new(fakeJudge), Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want something about %s", err, want)
		}
	}
}

// exposedListener says that others can reach it, as one of systemd's may.
type exposedListener struct{ net.Listener }

func (exposedListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4001} }

func TestServeRefusesExposedListenersWithoutCredentials(t *testing.T) {
	s, err := New(testConfig(), new(fakeJudge), Options{})
	if err != nil {
		t.Fatal(err)
	}
	l := listenTCP(t)
	err = s.Serve(t.Context(), []net.Listener{listenTCP(t), exposedListener{l}})
	if !errors.Is(err, ErrNoCredentials) || !strings.Contains(err.Error(), "192.0.2.1:4001") {
		t.Errorf("Serve: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still open: %v", err)
	}
}

func TestReloadKeepsCredentialsOnExposedListeners(t *testing.T) {
	cfg := testConfig()
	cfg.APIKey = "key"
	s, err := New(cfg, new(fakeJudge), Options{})
	if err != nil {
		t.Fatal(err)
	}
	l := listenTCP(t)
	serve(t, s, exposedListener{l})
	get(t, l, "") // it serves
	if err := s.Reload(testConfig()); !errors.Is(err, ErrNoCredentials) {
		t.Errorf("Reload: %v", err)
	}
	cfg.RefuseMessage = "\n"
	if err := s.Reload(cfg); err == nil {
		t.Error("Reload took a bad message")
	}
}
