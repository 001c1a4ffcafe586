package enrich

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// The bounds of a request to a registry.
const (
	maxAnswer    = 1 << 20 // octets; the list of all registries has 100 KB
	maxRedirects = 3
)

// newClient returns the client by which registries are asked. Who answers names
// further servers, and must not have us ask the neighbours of this host: only public
// addresses are connected to, unless the list of registries itself is on a private
// one, or a proxy stands between.
func newClient(base *url.URL) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	private := privateHost(base.Hostname())
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: base}); !private && err == nil && proxy == nil {
		dialer.ControlContext = onlyPublic
	}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		MaxIdleConns:    4, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 64 << 10,
	}
	return &http.Client{
		Transport: bounded{t},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return errors.New("too many redirects")
			}
			if req.URL.Scheme != "https" && via[0].URL.Scheme == "https" {
				return errors.New("redirected from https to " + req.URL.Scheme)
			}
			return nil
		},
	}
}

func privateHost(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && !public(a)
}

// onlyPublic refuses to connect to addresses that are nobody's on the internet.
func onlyPublic(_ context.Context, _, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !public(ap.Addr().Unmap()) {
		return fmt.Errorf("%s is no public address", address)
	}
	return nil
}

// bounded cuts answers off that are too long, which makes them wrong.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxAnswer), res.Body}
	return res, nil
}
