package dovecotpolicy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
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
