package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// The bounds of what is read of certificates.
const (
	maxAuthorities   = 2_000 // files; Debian has 150, twice
	maxAuthorityFile = 2 << 20
)

// transport trusts whom Dovecot trusts, and goes where Dovecot goes.
func (d *dovecot) transport() (*http.Transport, error) {
	t := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if path := d.get("auth_policy_http_client_proxy_socket_path"); path != "" {
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	if !strings.HasPrefix(d.get("auth_policy_server_url"), "https://") {
		return t, nil
	}
	if !d.is("ssl_client_require_valid_cert") {
		t.TLSClientConfig.InsecureSkipVerify = true
		return t, nil
	}
	pool := x509.NewCertPool()
	// 2.3 writes ssl_client_ca_file = </path, or the path.
	if file := strings.TrimPrefix(d.get("ssl_client_ca_file"), "<"); file != "" {
		pem, err := readBounded(file, maxAuthorityFile)
		if err != nil {
			return nil, fmt.Errorf("ssl_client_ca_file: %w", err)
		}
		pool.AppendCertsFromPEM(pem)
	}
	if dir := d.get("ssl_client_ca_dir"); dir != "" {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("ssl_client_ca_dir: %w", err)
		}
		for _, e := range entries[:min(len(entries), maxAuthorities)] {
			if pem, err := readBounded(filepath.Join(dir, e.Name()), maxAuthorityFile); err == nil {
				pool.AppendCertsFromPEM(pem)
			}
		}
	}
	t.TLSClientConfig.RootCAs = pool
	return t, nil
}

// readBounded reads a regular file that is not larger than most.
func readBounded(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, fmt.Errorf("%s is no file of at most %d octets", path, most)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}
