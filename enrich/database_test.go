package enrich

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/saslguard/saslguard/test/fuzzing"
)

const known = "203.0.113.7"

// made makes a database with one network.
func made(t testing.TB, kind, network string, fields mmdbtype.Map) []byte {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, IncludeReservedNetworks: true, RecordSize: 24})
	if err != nil {
		t.Fatal(err)
	}
	_, n, err := net.ParseCIDR(network)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Insert(n, fields); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func city(t testing.TB, code, name string) []byte {
	return made(t, "GeoLite2-City", "203.0.113.0/24", mmdbtype.Map{
		"country": mmdbtype.Map{"iso_code": mmdbtype.String(code)},
		"city":    mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(name), "de": mmdbtype.String("Anders")}},
	})
}

func asn(t testing.TB) []byte {
	return made(t, "GeoLite2-ASN", "203.0.113.0/24", mmdbtype.Map{
		"autonomous_system_number": mmdbtype.Uint32(64500), "autonomous_system_organization": mmdbtype.String("Example\x1b[31m Net\r\n"),
	})
}

// replace puts a file in place as geoipupdate does.
func replace(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func newEnricher(t *testing.T, c Config) (*Enricher, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	e, err := New(c, Options{Logger: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	return e, logs
}

func TestDatabases(t *testing.T) {
	dir := t.TempDir()
	cities, systems := filepath.Join(dir, "city.mmdb"), filepath.Join(dir, "asn.mmdb")
	replace(t, cities, city(t, "DE", "Frankfurt am Main"))
	replace(t, systems, asn(t))
	e, logs := newEnricher(t, Config{Databases: []string{cities, systems}})
	for addr, want := range map[string]string{
		known:                "DE, Frankfurt am Main, AS64500 Example [31m Net",
		"::ffff:203.0.113.7": "DE, Frankfurt am Main, AS64500 Example [31m Net",
		"198.51.100.7":       "",
		"2001:db8::1":        "",
		"fe80::1%eth0":       "",
	} {
		if got := e.Describe(t.Context(), netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	if got := e.Lookup(t.Context(), netip.Addr{}); got != (Info{}) {
		t.Errorf("no address: %+v", got)
	}
	if n := logs.FilterMessage("a database of addresses was read").Len(); n != 2 {
		t.Errorf("%d were read", n)
	}
}

func TestDatabasesAreReadAgainWhenReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.mmdb")
	e, logs := newEnricher(t, Config{Databases: []string{path}})
	errors := func() int { return logs.FilterLevelExact(zap.ErrorLevel).Len() }
	refresh := func(want string, wantErrors int) {
		t.Helper()
		e.refresh(e.state.Load())
		if got := e.Describe(t.Context(), netip.MustParseAddr(known)); got != want || errors() != wantErrors {
			t.Errorf("%q, want %q; %d errors, want %d", got, want, errors(), wantErrors)
		}
	}
	refresh("", 1) // not there, which New has said
	good := city(t, "DE", "Bonn")
	replace(t, path, good)
	refresh("DE, Bonn", 1)
	refresh("DE, Bonn", 1)
	replace(t, path, good[:len(good)/2])
	refresh("DE, Bonn", 2)
	refresh("DE, Bonn", 2) // said once
	replace(t, path, []byte("<html>You have reached your download limit</html>"))
	refresh("DE, Bonn", 3)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	refresh("DE, Bonn", 4)
	refresh("DE, Bonn", 4)
	replace(t, path, city(t, "FR", "Paris"))
	refresh("FR, Paris", 4)
	// Cut in place, while it is in use.
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	refresh("FR, Paris", 5)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	refresh("FR, Paris", 6)
	e.Reload(Config{})
	refresh("", 6)
}

func TestRunLooksAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.mmdb")
	e, _ := newEnricher(t, Config{Databases: []string{path}})
	e.every = time.Millisecond
	done := make(chan struct{})
	go func() { defer close(done); e.Run(t.Context()) }()
	replace(t, path, city(t, "NL", "Delft"))
	for deadline := time.Now().Add(10 * time.Second); e.Describe(t.Context(), netip.MustParseAddr(known)) != "NL, Delft"; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is not read")
		}
	}
}

// What does not fit is left out, and nothing else suffers.
func TestHostileDatabase(t *testing.T) {
	dir := t.TempDir()
	wrong, long := filepath.Join(dir, "wrong.mmdb"), filepath.Join(dir, "long.mmdb")
	replace(t, wrong, made(t, "Wrong", "203.0.113.0/24", mmdbtype.Map{"country": mmdbtype.String("DE"), "autonomous_system_number": mmdbtype.String("x")}))
	replace(t, long, city(t, "de<script>", strings.Repeat("é\u202e", 500)))
	e, _ := newEnricher(t, Config{Databases: []string{wrong, long}})
	got := e.Lookup(t.Context(), netip.MustParseAddr(known))
	if got.Country != "" || got.ASN != 0 || !strings.HasPrefix(got.City, "é é é") || strings.Contains(got.City, "\u202e") || len([]rune(got.City)) > longest+1 {
		t.Errorf("%+v", got)
	}
}

func FuzzDatabase(f *testing.F) {
	good := city(f, "DE", "Bonn")
	f.Add(good)
	f.Add(good[:len(good)-10])
	f.Add(asn(f))
	f.Add([]byte("\xab\xcd\xefMaxMind.com"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "x.mmdb")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		d := &database{path: path}
		if _, err := d.refresh(); err != nil {
			return
		}
		d.about()
		var i Info
		for _, a := range []string{known, "2001:db8::1", "0.0.0.0"} {
			_ = d.lookup(netip.MustParseAddr(a), &i)
		}
		if s := i.String(); clean(s) != s && len([]rune(s)) < longest {
			t.Errorf("%q", s)
		}
	})
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
