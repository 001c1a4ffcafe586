package admin

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/admin/client"
	"github.com/saslguard/saslguard/test/fuzzing"
)

const (
	readToken    = "read-0123456789abcdef"
	operateToken = "operate-0123456789abcdef"
)

// Over TCP a token says what one may do; on the socket everybody may do all.
func TestRoles(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(operateToken+"\nmore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := ControlConfig{Tokens: []TokenConfig{{Name: "grafana", Role: RoleRead, Token: readToken}, {Name: "script", Role: RoleOperate, TokenFile: file}}}
	if err := w.control.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	base := "http://" + w.serve("tcp", "127.0.0.1:0")
	by := func(token string) *client.Client { return newClient(t, client.Options{Address: base, Token: token}) }
	ban := api.PutRequest{Entries: []api.NewEntry{{Prefix: "192.0.2.1", Seconds: 60}}}
	if _, err := by(readToken).Bans(t.Context(), api.BansQuery{}); err != nil {
		t.Error(err)
	}
	_, err := by(readToken).Ban(t.Context(), ban)
	wantError(t, err, api.Forbidden, "", "grafana may read, and this needs operate")
	for _, token := range []string{"", "x", readToken + "x", strings.ToUpper(readToken)} {
		_, err := by(token).Bans(t.Context(), api.BansQuery{})
		wantError(t, err, api.Unauthorized, "", "token")
	}
	if out, err := by(operateToken).Ban(t.Context(), ban); err != nil || out.Changes[0].Entry.By != "script" {
		t.Errorf("%+v, %v", out, err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := w.client.Ban(t.Context(), ban); err != nil || out.Changes[0].Entry.By != me.Username {
		t.Errorf("by %+v, %v", out.Changes, err)
	}
	// Every route says what it needs, and not one lets a stranger in.
	for _, rt := range routes() {
		for token, want := range map[string]int{"": 401, readToken: map[string]int{RoleRead: 0, RoleOperate: 403}[rt.role]} {
			if want == 0 {
				continue
			}
			req, err := http.NewRequestWithContext(t.Context(), rt.method, base+rt.path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+token)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("%s %s with the token %q: %s, want %d", rt.method, rt.path, token, res.Status, want)
			}
		}
	}
	audit, err := w.client.Audit(t.Context(), api.AuditQuery{})
	if err != nil || len(audit.Changes) < 3 || audit.Changes[0].Who != "grafana" || !strings.Contains(audit.Changes[0].Result, "needs operate") ||
		audit.Changes[1].Who != "script" || audit.Changes[1].Via != "tcp" || audit.Changes[2].Who != me.Username {
		t.Errorf("%+v, %v", audit, err)
	}
	// Who tries on without end is counted, and fills no log.
	for range 50 {
		_, err := by(readToken).Ban(t.Context(), ban)
		wantError(t, err, api.Forbidden, "", "needs operate")
	}
	told := w.warned.FilterMessage("a request to the control API was refused").Len()
	if after, err := w.client.Audit(t.Context(), api.AuditQuery{}); err != nil || told != refusedLines || len(after.Changes) > len(audit.Changes)+refusedLines {
		t.Errorf("told %d times, %d changes, %v", told, len(after.Changes), err)
	}
	counted := map[string]float64{}
	for _, why := range []string{noToken, wrongToken, wrongRole} {
		counted[why] = testutil.ToFloat64(w.control.refusals.count.WithLabelValues(why))
	}
	if counted[noToken] == 0 || counted[wrongToken] != 3 || counted[wrongRole] < 51 {
		t.Errorf("counted %v", counted)
	}
	for _, e := range w.audit.All() {
		if text := fmt.Sprint(e.ContextMap()); strings.Contains(text, operateToken) || strings.Contains(text, readToken) {
			t.Errorf("a token is logged: %s", text)
		}
	}
}

func TestTLS(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	pool := x509.NewCertPool()
	cert, key := certificate(t, dir, pool)
	cfg := ControlConfig{TLSCert: cert, TLSKey: key, Tokens: []TokenConfig{{Name: "a", Role: RoleRead, Token: readToken}}}
	if err := w.control.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	base := "https://" + w.serve("tcp", "127.0.0.1:0")
	c := newClient(t, client.Options{Address: base, Token: readToken, TLS: &tls.Config{RootCAs: pool}})
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := newClient(t, client.Options{Address: base, Token: readToken}).Status(t.Context()); err == nil {
		t.Error("an unknown authority is trusted")
	}
	old := newClient(t, client.Options{Address: base, Token: readToken, TLS: &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}})
	if _, err := old.Status(t.Context()); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	// Another certificate takes no restart, and one that cannot be read changes nothing.
	if err := w.control.Reload(ControlConfig{TLSCert: dir + "/none", TLSKey: key}); err == nil {
		t.Error("a certificate that is not there is taken")
	}
	c.Close()
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
	cert, key = certificate(t, dir, x509.NewCertPool())
	if err := w.control.Reload(ControlConfig{TLSCert: cert, TLSKey: key, Tokens: cfg.Tokens}); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := c.Status(t.Context()); err == nil {
		t.Error("the old certificate is still shown")
	}
}

// certificate writes one for 127.0.0.1, which signs itself, and trusts it.
func certificate(t *testing.T, dir string, pool *x509.CertPool) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for path, text := range map[string][]byte{cert: certPEM, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool.AppendCertsFromPEM(certPEM)
	return cert, key
}

// raw asks as no client of ours does.
func (w *world) raw(method, path, kind, body string) (int, api.Error) {
	w.Helper()
	hc := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", w.socket)
	}}}
	defer hc.CloseIdleConnections()
	req, err := http.NewRequestWithContext(w.Context(), method, "http://saslguard"+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := hc.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.Fatal(err)
	}
	var e api.Error
	if res.StatusCode != 200 {
		if err := json.Unmarshal(text, &e); err != nil || e.Status != res.StatusCode || e.Message == "" {
			w.Errorf("%s %s: the error is %s", method, path, text)
		}
	}
	return res.StatusCode, e
}

func TestHostileRequests(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("x", 5000)
	for _, c := range []struct {
		method, path, kind, body string
		status                   int
		text                     string
	}{
		{"GET", "/", "", "", 404, "nothing at this path"},
		{"GET", "/v2/status", "", "", 404, "nothing at this path"},
		{"POST", "/v1/status", "application/json", "{}", 405, "wants GET"},
		{"DELETE", "/v1/bans", "", "", 405, "wants"},
		{"GET", "/v1/bans?wihtin=192.0.2.0/24", "", "", 400, "allowed are account, age, by"},
		{"GET", "/v1/bans?limit=many", "", "", 400, "whole number"},
		{"GET", "/v1/bans?limit=1&limit=2", "", "", 400, "2 times"},
		{"GET", "/v1/bans?account=%ff", "", "", 400, "UTF-8"},
		{"GET", "/v1/bans?account=%zz", "", "", 400, "cannot be read"},
		{"GET", "/v1/bans?account=" + long, "", "", 413, "octets"},
		{"GET", "/v1/status?x=1", "", "", 400, "nothing is allowed"},
		{"GET", "/v1/explain", "", "", 400, "an address or an account"},
		{"GET", "/v1/explain?address=1.2.3.4/5", "", "", 400, "host bits"},
		{"GET", "/v1/events/watch?kind=nope", "", "", 400, "allowed are verdict"},
		{"GET", "/v1/events/watch?age=1", "", "", 400, "from now on"},
		{"GET", "/v1/events?action=maybe", "", "", 400, "allowed are pass"},
		{"GET", "/v1/report?age=-1", "", "", 400, "allowed is 1 to"},
		{"POST", "/v1/bans", "", "{}", 415, "application/json"},
		{"POST", "/v1/bans", "text/plain", "{}", 415, "application/json"},
		{"POST", "/v1/bans", "application/x-www-form-urlencoded", "entries=1", 415, "application/json"},
		{"POST", "/v1/bans", "application/json; charset=utf-8", "{}", 400, "1 to 50000"},
		{"POST", "/v1/bans?force=true", "application/json", "{}", 400, "no query"},
		{"POST", "/v1/bans", "application/json", "", 400, "ends before"},
		{"POST", "/v1/bans", "application/json", "{", 400, "ends before"},
		{"POST", "/v1/bans", "application/json", "[]", 400, "array"},
		{"POST", "/v1/bans", "application/json", "{} {}", 400, "follows the object"},
		{"POST", "/v1/bans", "application/json", `{"entries":[{"prefx":"x"}]}`, 400, `"prefx" is not known`},
		{"POST", "/v1/bans", "application/json", `{"entries":"x"}`, 400, "is a string"},
		{"POST", "/v1/bans", "application/json", `{"wait":"NaN"}`, 400, "is a string"},
		{"POST", "/v1/bans", "application/json", `{"wait":1e999}`, 400, "is a number"},
		{"POST", "/v1/bans", "application/json", "{\"reason\":\"\xff\"}", 400, "UTF-8"},
		{"POST", "/v1/accounts/forget", "application/json", `{"account":""}`, 400, "1 to 320"},
		{"POST", "/v1/firewall/agent", "application/json", `{"backend":"x","state":"y","position":"z"}`, 400, "position"},
		{"POST", "/v1/bans", "application/json", strings.Repeat(" ", maxBody+1), 413, "octets"},
	} {
		status, e := w.raw(c.method, c.path, c.kind, c.body)
		if status != c.status || !strings.Contains(e.Message, c.text) {
			t.Errorf("%s %.60s %.40q: %d %+v, want %d with %q", c.method, c.path, c.body, status, e, c.status, c.text)
		}
	}
}

// FuzzBody holds that no body makes the decoding panic, and that errors are of
// the kind that is told, in one printable line.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		`{"entries":[{"prefix":"192.0.2.1","seconds":60,"reason":"x"}],"force":true,"protect":["::1"],"wait":1.5}`,
		`{"entries":[{}]}`, `{"x":1}`, `[`, `{"entries":null}`, `{"wait":-1e400}`, "{\"\u202e\":1}", `{"a":"` + strings.Repeat("b", 200) + `"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in api.PutRequest
		checkDecoded(t, decodeBody(body, &in))
		var out bytes.Buffer
		if err := json.NewEncoder(&out).Encode(&in); err != nil {
			t.Error(err)
		}
	})
}

// FuzzQuery is the same for queries.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"within=192.0.2.0%2F24&sort=until&limit=10", "kind=a&kind=b", "%zz", "a;b", "limit=99999999999999999999", "=&=", "%F0%9F=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		var bans api.BansQuery
		checkDecoded(t, decodeQuery(query, &bans))
		var events api.EventsQuery
		checkDecoded(t, decodeQuery(query, &events))
	})
}

func checkDecoded(t *testing.T, err error) {
	if err == nil {
		return
	}
	e, ok := err.(*api.Error)
	if !ok || e.Status < 400 || e.Code == "" || strings.ContainsAny(e.Message+e.Field, "\n\x1b") || len(e.Message) > 600 {
		t.Errorf("%#v", err)
	}
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
