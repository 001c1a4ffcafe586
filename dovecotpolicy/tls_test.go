package dovecotpolicy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestUnixSocket(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "dovecot"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig()
	cfg.TLSCert, cfg.TLSKey = writeCertificate(t, "a") // which is for TCP
	start(t, cfg, new(fakeJudge), l)
	c := dial(t, l)
	c.send(fmt.Sprintf("POST http://localhost/?command=allow HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(benchAllow), benchAllow))
	if r, got := c.answer(); r.StatusCode != 200 || got != `{"status":0,"msg":""}` {
		t.Error(r.StatusCode, got)
	}
}

func TestTLS(t *testing.T) {
	cfg := testConfig()
	cfg.TLSCert, cfg.TLSKey = writeCertificate(t, "first.example.org")
	s, l, _ := start(t, cfg, new(fakeJudge), nil)
	name := func() string {
		t.Helper()
		raw, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		if r, body := newConn(t, raw).ask("allow", benchAllow); r.StatusCode != 200 || body != `{"status":0,"msg":""}` {
			t.Error(r.StatusCode, body)
		}
		return raw.ConnectionState().PeerCertificates[0].DNSNames[0]
	}
	if got := name(); got != "first.example.org" {
		t.Error(got)
	}
	cfg.TLSCert, cfg.TLSKey = writeCertificate(t, "second.example.org")
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if got := name(); got != "second.example.org" {
		t.Errorf("after a reload: %s", got)
	}
	if _, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
	c := dial(t, l)
	c.send(string(httpRequest("allow", benchAllow)))
	if got, _ := io.ReadAll(c); bytes.Contains(got, []byte("status")) {
		t.Errorf("answered without TLS: %q", got)
	}
}

// Plain HTTP to a TLS address is one line that says what to do; and what ended
// because this side closed it is none.
func TestPlainHTTPToTLS(t *testing.T) {
	cfg := testConfig()
	cfg.TLSCert, cfg.TLSKey = writeCertificate(t, "a")
	s, l, logs := start(t, cfg, new(fakeJudge), nil)
	c := dial(t, l)
	c.send(string(httpRequest("allow", benchAllow)))
	if _, err := io.ReadAll(c); err != nil {
		t.Error(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.complaints.Printf("error when serving connection %q<->%q: %v", l.Addr(), l.Addr(), fmt.Errorf("read: %w", net.ErrClosed))
	all := logs.All()
	if len(all) != 1 || all[0].ContextMap()["error"] != "Dovecot speaks http to an https address: "+
		"auth_policy_server_url must begin with https:// (dovecot.tls_cert is set)" {
		t.Errorf("logged: %v", all)
	}
}

// An error of the transport is told without what the transport puts around it, and
// without what it quotes of a request.
func TestTransportErrors(t *testing.T) {
	s, l, logs := start(t, testConfig(), new(fakeJudge), nil)
	s.complaints.Printf("error when serving connection %q<->%q: %v", l.Addr(), l.Addr(), errors.New("a bad \\ thing\x1b in \"X-API-Key: secret\" and more"))
	all := logs.All()
	if len(all) != 1 || all[0].ContextMap()["error"] != "a bad \\ thing\uFFFD in …" || all[0].ContextMap()["peer"] != l.Addr().String() {
		t.Errorf("logged: %v", all)
	}
}

// What is wrong with the files is found by Check, with the key of the file.
func TestCheckReadsCertificates(t *testing.T) {
	cert, key := writeCertificate(t, "a")
	_, other := writeCertificate(t, "b")
	missing := filepath.Join(t.TempDir(), "none.pem")
	for _, c := range []struct{ cert, key, want string }{
		{cert, key, ""},
		{missing, key, "tls_cert: cannot be read: " + missing + ": no such file"},
		{cert, missing, "tls_key: cannot be read: " + missing + ": no such file"},
		{key, key, "tls_cert: " + key + ": holds no certificate in PEM"},
		{cert, other, "tls_key: " + other + " is not the key of the certificate in " + cert},
		{cert, cert, "tls_key: " + cert + " is not the key of the certificate"},
	} {
		cfg := testConfig()
		cfg.TLSCert, cfg.TLSKey = c.cert, c.key
		got := problems(cfg)
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.want)) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// writeCertificate writes a certificate for a name and its key.
func writeCertificate(t testing.TB, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
