package notify

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestFailedDeliveriesAreTriedAgain(t *testing.T) {
	r := newReceiver(t, func(n int) int {
		if n < 3 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	w := newWorld(t, r.config(), true)
	w.notifier.Tell(News{Kind: Brake, At: w.now(), Title: "told in the end"})
	r.wait(1)
	if len(r.ids) != 3 || r.ids[0] == "" || r.ids[0] != r.ids[1] || r.ids[1] != r.ids[2] {
		t.Errorf("ids %q", r.ids)
	}
}

func TestDeliveriesAreGivenUp(t *testing.T) {
	for status, tries := range map[int]int{http.StatusInternalServerError: sendTries, http.StatusNotFound: 1, http.StatusFound: 1} {
		r := newReceiver(t, func(int) int { return status })
		w := newWorld(t, r.config(), true)
		w.notifier.Tell(News{Kind: Brake, At: w.now(), Title: "told in vain"})
		counted := w.notifier.metrics.deliveries.WithLabelValues("webhook", resultGivenUp)
		for deadline := time.Now().Add(20 * time.Second); testutil.ToFloat64(counted) < 1; time.Sleep(2 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d is not given up", status)
			}
		}
		r.mu.Lock()
		if len(r.ids) != tries {
			t.Errorf("%d: %d tries, want %d", status, len(r.ids), tries)
		}
		r.mu.Unlock()
	}
}

// A receiver that takes connections and says nothing holds up no other, and few
// calls of its own.
func TestAReceiverThatHangs(t *testing.T) {
	release := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer hangs.Close()
	defer close(release)
	s, err := newService("urls[0]", "generic+"+hangs.URL+"/t0ken-in-the-path?disabletls=yes")
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxHanging + 1 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		err := s.send(ctx, message{title: "title", text: "text"})
		cancel()
		want := "no answer in time"
		if i == maxHanging {
			want = "earlier calls have not returned"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

func TestAServiceOfShoutrrr(t *testing.T) {
	got := make(chan string, 2)
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := make([]byte, 1000)
		n, _ := r.Body.Read(text)
		got <- r.URL.Path + " " + string(text[:n])
		if strings.Contains(r.URL.Path, "bad") {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer ts.Close()
	c := testConfig()
	c.URLsFile = filepath.Join(t.TempDir(), "urls")
	text := "# receivers\n\ngeneric+" + ts.URL + "/good?template=json\n  generic+" + ts.URL + "/bad-t0ken?template=json\n"
	if err := os.WriteFile(c.URLsFile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	results, err := Try(t.Context(), c, "mx1")
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 || results[0].Target != "urls_file:3 generic" || !results[0].OK || results[1].OK ||
		!strings.Contains(results[1].Error, "403") || strings.Contains(results[1].Error, "t0ken") {
		t.Errorf("%+v", results)
	}
	said := []string{<-got, <-got}
	slices.Sort(said)
	if !strings.HasPrefix(said[1], "/good ") || !strings.Contains(said[1], `"title":"saslguard on mx1: a test of the notifications"`) {
		t.Errorf("%q", said)
	}
}

func TestWebhookOverTLS(t *testing.T) {
	ts := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ts.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	ts.StartTLS()
	defer ts.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ts.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, ok := range map[string]bool{ca: true, "": false} {
		c := testConfig()
		c.Webhook = WebhookConfig{URL: ts.URL + "/t0ken", SecretFile: secretFile, CAFile: file}
		results, err := Try(t.Context(), c, "mx1")
		if err != nil {
			t.Fatal(err)
		}
		if results[0].OK != ok || !ok && (!strings.Contains(results[0].Error, "certificate") || strings.Contains(results[0].Error, "t0ken")) {
			t.Errorf("ca_file %q: %+v", file, results)
		}
	}
}

// Whatever a service says of its URL, no secret of it is repeated.
func TestErrorsHoldNoSecrets(t *testing.T) {
	const secret = "s3cr3t-S3cr3t"
	var r router.ServiceRouter
	for _, scheme := range r.ListServices() {
		for _, pattern := range []string{
			"%s://user:s3cr3t-S3cr3t@127.0.0.1:1/s3cr3t-S3cr3t?to=x&token=s3cr3t-S3cr3t",
			"%s://s3cr3t-S3cr3t@127.0.0.1:1/?title=s3cr3t-S3cr3t",
			"%s://s3cr3t-S3cr3t/s3cr3t-S3cr3t/s3cr3t-S3cr3t#s3cr3t-S3cr3t",
			"%s://127.0.0.1:1/%%73%%33cr3t-S3cr3t?from=a@example.org&to=b@example.org",
			"%s://user:%%73%%33cr3t-S3cr3t@127.0.0.1:1/",
			"%s://:s3cr3t-S3cr3t\x7f",
		} {
			s, err := newService("urls[0]", strings.ReplaceAll(strings.ReplaceAll(pattern, "%s", scheme), "%%", "%"))
			if err == nil && (scheme == "generic" || scheme == "smtp" || scheme == "gotify" || scheme == "mattermost" || scheme == "rocketchat" || scheme == "ntfy") {
				// Those that talk to the host of their URL, where nobody listens.
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				err = s.send(ctx, message{title: "title", text: "text"})
				cancel()
				if err == nil {
					t.Errorf("%s: nobody listens, and it was taken", scheme)
				}
			}
			if err != nil && strings.Contains(strings.ToLower(err.Error()), strings.ToLower(secret)) {
				t.Errorf("%s: %v", scheme, err)
			}
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	name := func(n, text string) string {
		path := filepath.Join(dir, n)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	hook := func(change func(*WebhookConfig)) Config {
		c := Config{Webhook: WebhookConfig{URL: "https://example.org/", Secret: secret}}
		change(&c.Webhook)
		return c
	}
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{URLsFile: filepath.Join(dir, "none")}, "notify.urls_file: open "},
		{Config{URLsFile: name("long", strings.Repeat("#\n", maxFile))}, "too long"},
		{Config{URLsFile: name("bad", "#\nslack://t0ken\n")}, "notify.urls_file:2 is not understood by slack"},
		{Config{URLsFile: name("many", strings.Repeat("generic://example.org/\n", maxTargets+1))}, "allowed are 20"},
		{hook(func(c *WebhookConfig) { c.Secret, c.SecretFile = "", filepath.Join(dir, "none") }), "notify.webhook.secret_file: open "},
		{hook(func(c *WebhookConfig) { c.Secret, c.SecretFile = "", name("short", "short\n"+secret) }), "has 5 octets"},
		{hook(func(c *WebhookConfig) { c.CAFile = name("ca", "no certificate") }), "there is no certificate in"},
	} {
		_, err := c.config.prepare()
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "t0ken") {
			t.Errorf("%q: %v", c.want, err)
		}
	}
}

func TestStatusError(t *testing.T) {
	for status, final := range map[int]bool{301: true, 400: true, 404: true, 408: false, 429: false, 500: false, 503: false} {
		var f finalError
		if err := statusError(status); err == nil || errors.As(err, &f) != final {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// A secret without a long run of letters is one too.
func TestRedact(t *testing.T) {
	s := &service{raw: "generic://bob:hu-nt-er%22@mail.example.org/p-a-t-h/?k=v-a-l-u-e&from=me@example.org"}
	got := s.redact(errors.New(`refused hu-nt-er" "hu-nt-er\"" P-A-T-H v-a-l-u-e by mail.example.org for me@example.org at https://x/y`)).Error()
	if want := `refused … "…" … … by mail.example.org for me@example.org at …`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
