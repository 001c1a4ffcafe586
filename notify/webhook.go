package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The headers of a request to the webhook. The signature is "sha256=" and, in hex,
// the HMAC-SHA256 of timestamp, ".", body under the shared secret: whoever checks
// it, and that the timestamp is of now, knows who sent it and that it is no repeat
// of an old one. The id is the same in every try.
const (
	HeaderID        = "X-Saslguard-Id"
	HeaderTimestamp = "X-Saslguard-Timestamp" // Unix seconds
	HeaderSignature = "X-Saslguard-Signature"
)

// webhook is a receiver of signed JSON.
type webhook struct {
	url    string
	secret []byte
	client *http.Client
	now    func() time.Time
}

// body is what the webhook is sent. Its names are stable.
type body struct {
	Version int       `json:"version"` // 1
	ID      string    `json:"id"`
	Host    string    `json:"host"`
	Time    time.Time `json:"time"`
	Title   string    `json:"title"`
	Text    string    `json:"text"`
	News    []entry   `json:"news"`
	More    int       `json:"more"` // news of which only the number is known
}

type entry struct {
	Kind     Kind      `json:"kind"`
	Time     time.Time `json:"time"`
	Title    string    `json:"title"`
	Why      string    `json:"why,omitempty"`
	Do       string    `json:"do,omitempty"`
	Commands []string  `json:"commands,omitempty"`
	Client   string    `json:"client,omitempty"` // a prefix
	Account  string    `json:"account,omitempty"`
	From     string    `json:"from,omitempty"`
	Ban      *ban      `json:"ban,omitempty"`
}

type ban struct {
	Prefix   string     `json:"prefix"`
	Since    time.Time  `json:"since"`
	Until    *time.Time `json:"until"` // null: for good
	Rule     string     `json:"rule"`
	Reason   string     `json:"reason"`
	Times    int        `json:"times"`
	Observed bool       `json:"observed"`
}

func newWebhook(c WebhookConfig, secret []byte, ca []byte) (*webhook, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		MaxIdleConns: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
	}
	if len(ca) > 0 {
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("webhook.ca_file: there is no certificate in %s", c.CAFile)
		}
	}
	return &webhook{url: c.URL, secret: secret, now: time.Now, client: &http.Client{
		Transport: t, Timeout: sendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (w *webhook) name() string { return "webhook" }

// send implements target.
func (w *webhook) send(ctx context.Context, m message) error {
	text, err := json.Marshal(bodyOf(&m))
	if err != nil {
		return finalError{err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(text))
	if err != nil {
		return finalError{errors.New("the URL is not understood")}
	}
	stamp := strconv.FormatInt(w.now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "saslguard")
	req.Header.Set(HeaderID, m.id)
	req.Header.Set(HeaderTimestamp, stamp)
	req.Header.Set(HeaderSignature, Sign(w.secret, stamp, text))
	res, err := w.client.Do(req)
	if err != nil {
		var about *url.Error
		if errors.As(err, &about) { // it names the URL, in which there may be a token
			err = about.Err
		}
		return fmt.Errorf("no answer: %w", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	return statusError(res.StatusCode)
}

// statusError is what a status means: done, never, or not now.
func statusError(status int) error {
	switch {
	case status >= 200 && status <= 299:
		return nil
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests, status >= 500:
		return fmt.Errorf("the answer is %d %s", status, http.StatusText(status))
	}
	return finalError{fmt.Errorf("the answer is %d %s", status, http.StatusText(status))}
}

// Sign is the value of HeaderSignature.
func Sign(secret []byte, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func bodyOf(m *message) body {
	b := body{Version: 1, ID: m.id, Host: m.host, Time: m.at.UTC(), Title: m.title, Text: m.text, News: []entry{}, More: m.more}
	for i := range m.items {
		it := &m.items[i]
		e := entry{
			Kind: it.Kind, Time: it.At.UTC(), Title: it.title, Why: clean(it.Why, 300), Do: clean(it.Do, 400),
			Commands: it.command, Account: it.Account, From: it.from,
		}
		if it.Client.IsValid() {
			e.Client = it.Client.String()
		}
		if x := it.Entry; x != nil {
			e.Ban = &ban{
				Prefix: x.Prefix.String(), Since: x.Since.UTC(), Rule: x.Rule, Reason: clean(x.Reason, 300), Times: x.Times, Observed: x.Observed,
			}
			if !x.Until.IsZero() {
				until := x.Until.UTC()
				e.Ban.Until = &until
			}
		}
		b.News = append(b.News, e)
	}
	return b
}
