package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
	"github.com/saslguard/saslguard/test/netns"
	"github.com/saslguard/saslguard/test/pages"
)

// TestBehindHAProxy runs HAProxy, Postfix and Dovecot with what docs/install.md prints,
// the proxy and the clients in a network of their own: each client has its own score, and
// its own ban.
func TestBehindHAProxy(t *testing.T) {
	if !inside(t) {
		return
	}
	printed := pages.Under(t, "docs/install.md", "Behind HAProxy")
	if len(printed) != 3 {
		t.Fatalf("there are %d examples, and there were those of HAProxy, Postfix and Dovecot", len(printed))
	}
	haproxy, postfix, dovecot := printed[0], printed[1], printed[2]

	mail, proxy := netns.Here(t), netns.New(t)
	netns.Join(mail, proxy)
	mail.IP("address add 10.0.0.11/24 dev to-client")
	proxy.IP("address add 10.0.0.5/24 dev to-server")

	// The lab's Postfix is not chrooted, and its Dovecot needs a certificate.
	service, jailed := "10.0.0.11:10587 inet n - n - - smtpd\n", "10.0.0.11:10587 inet n - y - - smtpd\n"
	if !strings.HasPrefix(postfix, jailed) {
		t.Fatalf("the service for Postfix begins otherwise:\n%s", postfix)
	}
	cert, key := certificate(t)
	ssl := fmt.Sprintf("ssl = yes\nssl_cert = <%s\nssl_key = <%s\n", cert, key)
	if lab.Dovecot24() {
		ssl = fmt.Sprintf("ssl = yes\nssl_server_cert_file = %s\nssl_server_key_file = %s\n", cert, key)
	}
	s := newSiteWith(t, siteOptions{
		args:    []string{"--set", "rules.client.tarpit=9"}, // delays are another test's
		usual:   true,
		master:  service + strings.TrimPrefix(postfix, jailed),
		dovecot: "listen = 127.0.0.1, 10.0.0.11\n" + ssl + dovecot,
	})

	through := func(port uint16) lab.Connect {
		return func(client netip.Addr) (net.Conn, error) {
			return proxy.Connect(client, netip.AddrPortFrom(netip.MustParseAddr("10.0.0.5"), port), 10*time.Second)
		}
	}
	lab.StartHAProxy(t, haproxy, []string{"/usr/bin/nsenter", "--net=" + proxy.Path}, func() (net.Conn, error) {
		return through(993)(netip.MustParseAddr(home))
	})
	submission := lab.SMTPLoginOver(through(587), lab.Plain)
	imaps := lab.IMAPLoginOver(func(client netip.Addr) (net.Conn, error) {
		conn, err := through(993)(client)
		if err != nil {
			return nil, err
		}
		return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}), nil // it is the lab's own
	}, lab.NoMechanism)

	s.mustEnter(submission, home, alice)
	s.mustEnter(imaps, home, alice)
	s.explains(home, "familiar") // the login arrived with the client's address

	// Over the refusal: by IMAPS, then at the CONNECT of submission.
	if n := s.guess(imaps, bot, bob, 12); n != 10 {
		t.Errorf("%d guesses were verified, the rules allow 10", n)
	}
	s.mustNotEnter(imaps, bot, bob)
	if r := s.mustNotEnter(submission, bot, bob); r.Stage != lab.StageGreeting || r.Code != 421 {
		t.Errorf("not refused at CONNECT: %+v", r)
	}

	// A ban of one address, and none of the next, nor of the proxy.
	const banned, neighbour = "198.51.100.66", "198.51.100.67"
	s.saslguard("ban", banned, "--for", "1h", "--reason", "behind the proxy")
	if r := s.mustNotEnter(submission, banned, carol); r.Stage != lab.StageGreeting || r.Code != 421 {
		t.Errorf("a banned client is not refused at CONNECT: %+v", r)
	}
	s.mustNotEnter(imaps, banned, carol)
	s.mustEnter(submission, neighbour, carol)
	s.mustEnter(imaps, neighbour, carol)
	s.mustEnter(imaps, home, alice)
	if out := s.saslguard("bans"); strings.Contains(out, "10.0.0.5") || !strings.Contains(out, banned) {
		t.Errorf("the bans are\n%s", out)
	}
}

// saslguard runs a command of the program over the site's control socket.
func (s *site) saslguard(args ...string) string {
	s.Helper()
	out, err := exec.CommandContext(s.Context(), s.bin, append(args, "--socket", s.control)...).CombinedOutput()
	if err != nil {
		s.Fatalf("saslguard %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// explains wants a word in what saslguard explains of a client.
func (s *site) explains(client, word string) {
	s.Helper()
	if out := s.saslguard("explain", client); !strings.Contains(out, word) {
		s.Errorf("nothing says that %s is %s:\n%s", client, word, out)
	}
}

// certificate makes a key and its certificate, in files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.lab.test"}, NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	dir := lab.Dir(t)
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: signed}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
