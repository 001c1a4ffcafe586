package redis

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/storetest"
)

func ping(t *testing.T, cfg Config) error {
	t.Helper()
	c, err := Connect(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return c.Ping(context.Background()).Err()
}

func TestPassword(t *testing.T) {
	srv := startServer(t, "--requirepass", "secret")
	cfg := testConfig(srv.addr)
	if err := ping(t, cfg); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("without a password: %v", err)
	}
	cfg.Password = "secret"
	if err := ping(t, cfg); err != nil {
		t.Errorf("with it: %v", err)
	}
	cfg.Password, cfg.PasswordFile = "", filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(cfg.PasswordFile, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.User = "default"
	if err := ping(t, cfg); err != nil {
		t.Errorf("from a file: %v", err)
	}
}

// writeCertificate makes a certificate that signs itself.
func writeCertificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis.example.org"}, DNSNames: []string{"redis.example.org"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private))
	der2 := must[[]byte](t)(x509.MarshalPKCS8PrivateKey(private))
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: der2}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestTLS(t *testing.T) {
	cert, key := writeCertificate(t)
	secure := freeAddr(t)
	_, port, _ := net.SplitHostPort(secure)
	startServer(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "yes")
	good := TLSConfig{Enabled: true, CAFile: cert, CertFile: cert, KeyFile: key}
	for _, x := range []struct {
		name string
		tls  TLSConfig
		ok   bool
	}{
		{"as it should be", good, true},
		{"by name", TLSConfig{true, cert, cert, key, "redis.example.org"}, true},
		{"by another name", TLSConfig{true, cert, cert, key, "other.example.org"}, false},
		{"the system's authorities", TLSConfig{true, "", cert, key, ""}, false},
		{"no certificate", TLSConfig{true, cert, "", "", ""}, false},
		{"a key for authorities", TLSConfig{true, key, cert, key, ""}, false},
		{"no such file", TLSConfig{true, cert + "x", cert, key, ""}, false},
		{"the wrong way round", TLSConfig{true, cert, key, cert, ""}, false},
		{"none", TLSConfig{}, false},
	} {
		cfg := testConfig(secure)
		cfg.TLS = x.tls
		if err := ping(t, cfg); (err == nil) != x.ok {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	cfg := testConfig(secure)
	cfg.TLS = good
	l := openLedger(t, cfg, nil)
	must[store.Entry](t)(l.Put(context.Background(), testBan(1)))
	if n := watchTable(t, l).size(); n != 1 {
		t.Errorf("%d entries", n)
	}
}

func TestUnixSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "redis.sock")
	srv := startServer(t, "--unixsocket", socket)
	cfg := testConfig(srv.addr)
	cfg.Addresses, cfg.Database = []string{socket}, 3
	l := openLedger(t, cfg, nil)
	must[store.Entry](t)(l.Put(context.Background(), testBan(1)))
	if n := watchTable(t, l).size(); n != 1 {
		t.Errorf("%d entries", n)
	}
}

func TestConnectToNothing(t *testing.T) {
	if _, err := Connect(Config{}); err == nil {
		t.Error("no error without an address")
	}
	// Nobody answers at a host of TEST-NET-1; Connect does not wait for it, and
	// an operation no longer than its context.
	cfg := testConfig("192.0.2.1:6379")
	cfg.Timeouts = TimeoutsConfig{Dial: 200 * time.Millisecond, IO: 150 * time.Millisecond, Pool: 100 * time.Millisecond, Call: 150 * time.Millisecond}
	began := time.Now()
	l := openLedger(t, cfg, nil)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("connecting took %v", took)
	}
	ctx, cancel := context.WithTimeout(context.Background(), cfg.Timeouts.Call)
	defer cancel()
	began = time.Now()
	if _, err := l.Put(ctx, testBan(1)); err == nil {
		t.Error("Put does not fail")
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("Put took %v", took)
	}
}

// TestClusterContract runs over a cluster of one node, which is as strict about
// slots as a larger one.
func TestClusterContract(t *testing.T) {
	srv := startServer(t, "--cluster-enabled", "yes")
	srv.do("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
	eventually(t, "the cluster is whole", func() bool {
		return strings.Contains(srv.do("CLUSTER", "INFO").(string), "cluster_state:ok")
	})
	n := 0
	storetest.RunGroups(t, []string{"ledger", "watch"}, func(t *testing.T) storetest.Fixture {
		n++
		cfg, c := testConfig(srv.addr), newTestClock()
		cfg.Prefix, cfg.Cluster = fmt.Sprintf("test%d", n), true
		return storetest.Fixture{Store: ledgerStore{openLedger(t, cfg, c.now)}, Now: c.now, Advance: c.advance}
	})
}

// TestSentinel finds the master by a Sentinel.
func TestSentinel(t *testing.T) {
	srv := startServer(t)
	_, port, _ := net.SplitHostPort(srv.addr)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(conf, []byte("sentinel monitor mymaster 127.0.0.1 "+port+" 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := &server{t: t, dir: t.TempDir(), addr: freeAddr(t), first: []string{conf, "--sentinel"}}
	t.Cleanup(sentinel.kill)
	sentinel.start()
	cfg := testConfig(sentinel.addr)
	cfg.Master = "mymaster"
	l := openLedger(t, cfg, nil)
	must[store.Entry](t)(l.Put(context.Background(), testBan(1)))
	if n := watchTable(t, l).size(); n != 1 {
		t.Errorf("%d entries", n)
	}
}
