package enrich

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
)

// registry is a server of RDAP on loopback: the list of registries, and one of them.
type registry struct {
	*httptest.Server
	lists, asked atomic.Int64
	answer       func(w http.ResponseWriter, r *http.Request) // of /ip/…
}

func newRegistry(t *testing.T, answer http.HandlerFunc) *registry {
	t.Helper()
	r := &registry{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch {
		case q.URL.Path == "/ipv4.json" || q.URL.Path == "/ipv6.json":
			r.lists.Add(1)
			net := map[string]string{"/ipv4.json": "0.0.0.0/0", "/ipv6.json": "::/0"}[q.URL.Path]
			fmt.Fprintf(w, `{"version":"1.0","publication":"2026-01-01T00:00:00Z","services":[[[%q],[%q]]]}`, net, r.URL+"/rdap/")
		default:
			r.asked.Add(1)
			w.Header().Set("Content-Type", "application/rdap+json")
			r.answer(w, q)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *registry) config() Config {
	return Config{Whois: WhoisConfig{
		Enabled: true, Bootstrap: r.URL + "/", Timeout: 5 * time.Second, PerMinute: 600, Cache: 100, CacheFor: time.Hour,
	}}
}

// network is an answer about a network, with its abuse contact where RIPE and ARIN
// have it: within the entity of the holder.
const network = `{"rdapConformance":["rdap_level_0"],"objectClassName":"ip network","handle":"203.0.113.0 - 203.0.113.255",
"startAddress":"203.0.113.0","endAddress":"203.0.113.255","ipVersion":"v4","name":%q,"type":"ASSIGNED PA","country":%q,
"entities":[{"objectClassName":"entity","handle":"ORG-EX","roles":["registrant"],
"vcardArray":["vcard",[["version",{},"text","4.0"],["fn",{},"text","Example"],["email",{},"text","office@example.net"]]],
"entities":[{"objectClassName":"entity","handle":"AB-EX","roles":["abuse"],
"vcardArray":["vcard",[["version",{},"text","4.0"],["fn",{},"text","Abuse"],["email",{},"text",%q]]]}]}]}`

func says(name, country, abuse string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, network, name, country, abuse) }
}

func TestWhois(t *testing.T) {
	var path atomic.Value
	r := newRegistry(t, func(w http.ResponseWriter, q *http.Request) {
		path.Store(q.URL.Path)
		says("EXAMPLE-NET", "DE", "abuse@example.net")(w, q)
	})
	e, _ := newEnricher(t, r.config())
	if got := e.Known(netip.MustParseAddr(known)); got != (Info{}) || r.asked.Load() != 0 {
		t.Errorf("known before anybody asked: %+v", got)
	}
	defer func() {
		if got := e.Known(netip.MustParseAddr(known)).Abuse; got != "abuse@example.net" {
			t.Errorf("not known afterwards: %q", got)
		}
	}()
	for range 3 {
		if got := e.Describe(t.Context(), netip.MustParseAddr(known)); got != "DE, EXAMPLE-NET, abuse@example.net" {
			t.Errorf("%q", got)
		}
	}
	if p := path.Load(); p != "/rdap/ip/203.0.113.7" || r.asked.Load() != 1 || r.lists.Load() != 1 {
		t.Errorf("%v was asked; %d times, and the list %d times", p, r.asked.Load(), r.lists.Load())
	}
	for _, a := range []string{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::1"} { // a /64 is one client
		e.Lookup(t.Context(), netip.MustParseAddr(a))
	}
	if p := path.Load(); p != "/rdap/ip/2001:db8:1:2::" || r.asked.Load() != 2 {
		t.Errorf("%v was asked; %d times", p, r.asked.Load())
	}
	for _, a := range []string{"127.0.0.1", "10.1.2.3", "100.64.0.1", "fe80::1", "::1"} {
		e.Lookup(t.Context(), netip.MustParseAddr(a))
	}
	if r.asked.Load() != 2 {
		t.Error("private addresses were asked about")
	}
}

func TestWhoisAsksOnceForMany(t *testing.T) {
	release := make(chan struct{})
	r := newRegistry(t, func(w http.ResponseWriter, q *http.Request) {
		<-release
		says("EXAMPLE-NET", "DE", "abuse@example.net")(w, q)
	})
	e, _ := newEnricher(t, r.config())
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if got := e.Lookup(short, netip.MustParseAddr(known)); got != (Info{}) {
		t.Errorf("%+v, and nobody has answered", got)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got := e.Lookup(t.Context(), netip.MustParseAddr(known)); got.Abuse != "abuse@example.net" {
				t.Errorf("%+v", got)
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	close(release)
	all.Wait()
	if n := r.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// A registry is a stranger: whatever it says, what is shown is bounded and harmless.
func TestHostileRegistry(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   Info
	}{
		"markup":  {says("<b>\u202eEVIL\nNET</b>", "Deutschland", "abuse@example.net\r\nBcc: all@example.org"), Info{Network: "<b> EVIL NET</b>"}},
		"shell":   {says("X", "DE", "$(reboot)@example.net"), Info{Network: "X", Country: "DE"}},
		"option":  {says("X", "DE", "-oProxyCommand@example.net"), Info{Network: "X", Country: "DE"}},
		"no mail": {says("X", "DE", strings.Repeat("a", 300)+"@example.net"), Info{Network: "X", Country: "DE"}},
		"mailto":  {says("X", "DE", "mailto:abuse@example.net"), Info{Network: "X", Country: "DE", Abuse: "abuse@example.net"}},
		"nonsense": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"objectClassName":["ip network"],"entities":7}`)
		}, Info{}},
		"another": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"objectClassName":"domain","ldhName":"x"}`)
		}, Info{}},
		"vcard": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"objectClassName":"ip network","name":"X","entities":[{"objectClassName":"entity","roles":["abuse"],"vcardArray":["vcard",[[[]]]]}]}`)
		}, Info{}},
		"not found": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, Info{}},
		"huge": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"objectClassName":"ip network","name":"%s"}`, strings.Repeat("x", 2<<20))
		}, Info{}},
		"deep": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Repeat(`{"objectClassName":"ip network","entities":[`, 20_000))
		}, Info{}},
		"redirection": {func(w http.ResponseWriter, q *http.Request) { http.Redirect(w, q, q.URL.Path, http.StatusFound) }, Info{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t, c.answer)
			e, _ := newEnricher(t, r.config())
			for range 2 {
				if got := e.Lookup(t.Context(), netip.MustParseAddr(known)); got != c.want && name != "vcard" {
					t.Errorf("%+v, want %+v", got, c.want)
				}
			}
			if n := r.asked.Load(); n > maxRedirects+2 {
				t.Errorf("asked %d times; failures are remembered too", n)
			}
		})
	}
}

func TestWhoisHasADeadline(t *testing.T) {
	release := make(chan struct{})
	r := newRegistry(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	c := r.config()
	c.Whois.Timeout = 100 * time.Millisecond
	e, _ := newEnricher(t, c)
	done := make(chan Info, 1)
	go func() { done <- e.Lookup(context.Background(), netip.MustParseAddr(known)) }()
	select {
	case got := <-done:
		if got != (Info{}) {
			t.Errorf("%+v", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for ever")
	}
}

func TestWhoisIsLimited(t *testing.T) {
	r := newRegistry(t, says("X", "DE", "abuse@example.net"))
	c := r.config()
	c.Whois.PerMinute = 2
	e, _ := newEnricher(t, c)
	for i := range 20 {
		e.Lookup(t.Context(), netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}))
	}
	if n := r.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	if n := testutil.ToFloat64(e.metrics.whois.WithLabelValues(resultLimited)); n != 18 {
		t.Errorf("%v were limited", n)
	}
}

func TestOnlyPublicAddressesAreConnectedTo(t *testing.T) {
	base, err := url.Parse("https://data.iana.org/rdap/")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HTTPS_PROXY", "")
	t.Setenv("https_proxy", "")
	ts := httptest.NewServer(http.NotFoundHandler())
	defer ts.Close()
	_, err = newClient(base).Get(ts.URL)
	if err == nil || !strings.Contains(err.Error(), "no public address") {
		t.Errorf("%v", err)
	}
}

func TestCache(t *testing.T) {
	c := cache{size: 100, life: time.Hour}
	now := time.Unix(1_800_000_000, 0)
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}) }
	for i := range 1000 {
		c.put(addr(i), holder{network: fmt.Sprint(i)}, now.Add(time.Duration(i)), time.Hour)
		if c.len() > 100 {
			t.Fatalf("%d answers", c.len())
		}
	}
	if h, ok := c.get(addr(999), now); !ok || h.network != "999" {
		t.Errorf("the latest is %+v", h)
	}
	if _, ok := c.get(addr(999), now.Add(2*time.Hour)); ok {
		t.Error("an answer is kept for ever")
	}
	if _, ok := c.get(addr(999), now.Add(-24*time.Hour)); ok {
		t.Error("an answer of the future is taken")
	}
}

func FuzzRegistry(f *testing.F) {
	f.Add(fmt.Sprintf(network, "EXAMPLE", "DE", "abuse@example.net"))
	f.Add(`{"objectClassName":"ip network","entities":[{"objectClassName":"entity","roles":["abuse"],"vcardArray":["vcard",[["email",{},"text",["a",[[]]]]]]}]}`)
	f.Add(`[]`)
	var text atomic.Value
	text.Store("")
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.URL.Path, ".json") {
			fmt.Fprintf(w, `{"services":[[["0.0.0.0/0"],["http://%s/"]]]}`, q.Host)
			return
		}
		fmt.Fprint(w, text.Load())
	}))
	f.Cleanup(ts.Close)
	f.Fuzz(func(t *testing.T, s string) {
		text.Store(s)
		e, err := New(Config{Whois: WhoisConfig{Enabled: true, Bootstrap: ts.URL, Timeout: 5 * time.Second, PerMinute: 600, Cache: 100, CacheFor: time.Hour}}, Options{Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		i := e.Lookup(t.Context(), netip.MustParseAddr(known))
		if clean(i.Network) != i.Network && len([]rune(i.Network)) <= longest || country(i.Country) != i.Country || mailAddress(i.Abuse) != i.Abuse {
			t.Errorf("%+v", i)
		}
	})
}
