package doctor

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// dovecot is what is known of the Dovecot of this machine.
type dovecot struct {
	err     error // nothing else is known
	version string
	is24    bool // 2.4 or later
	conf    *section

	answer error // what became of a question at its URL; nil: answered well
	status int   // of HTTP; 0: none
}

func lookAtDovecot(ctx context.Context, program, file string) *dovecot {
	d := new(dovecot)
	d.err = d.read(ctx, program, file)
	return d
}

func (d *dovecot) read(ctx context.Context, program, file string) error {
	path, err := find(program, "doveconf")
	if err != nil {
		return err
	}
	// -P: the nonce and the key are held against those of saslguard, and only a
	// fingerprint of them is ever shown.
	args := []string{"-n", "-P"}
	if file != "" {
		args = append([]string{"-c", file}, args...)
	}
	out, _, err := run(ctx, path, args...)
	if err != nil {
		return err
	}
	if d.conf, d.version, err = parseDoveconf(out); err != nil {
		return err
	}
	major, minor, _ := versionOf(d.version)
	d.is24 = major > 2 || major == 2 && minor >= 4
	return nil
}

// get is a setting, or what it is when nobody sets it.
func (d *dovecot) get(name string) string {
	if v, ok := d.conf.get(name); ok {
		return v
	}
	return dovecotDefaults[name]
}

// dovecotDefaults are those of 2.3 and 2.4 that are used here: doveconf -n
// leaves them out.
var dovecotDefaults = map[string]string{
	"auth_policy_check_before_auth":  "yes",
	"auth_policy_check_after_auth":   "yes",
	"auth_policy_report_after_auth":  "yes",
	"auth_policy_reject_on_fail":     "no",
	"auth_policy_log_only":           "no",
	"auth_policy_hash_mech":          "sha256",
	"auth_policy_hash_truncate":      "12",
	"auth_policy_request_attributes": "login=%{requested_username} pwhash=%{hashed_password} remote=%{rip} device_id=%{client_id} protocol=%s session_id=%{session}",
	"auth_failure_delay":             "2 secs",
	"ssl_client_require_valid_cert":  "yes",
}

func (d *dovecot) is(name string) bool { return strings.EqualFold(d.get(name), "yes") }

// asks tells whether a policy server is set at all.
func (d *dovecot) asks() bool { return d.err == nil && d.get("auth_policy_server_url") != "" }

// timeout is how long Dovecot waits for an answer.
func (d *dovecot) timeout() time.Duration {
	name, unit := "auth_policy_server_timeout_msecs", " msecs"
	if d.is24 {
		name, unit = "auth_policy_http_client_request_absolute_timeout", ""
	}
	if t, ok := dovecotTime(d.get(name) + unit); ok {
		return t
	}
	return 2 * time.Second
}

// attributes are the names of what Dovecot tells.
func (d *dovecot) attributes() map[string]string {
	all := map[string]string{}
	for _, pair := range strings.Fields(d.get("auth_policy_request_attributes")) {
		name, value, _ := strings.Cut(pair, "=")
		all[name] = value
	}
	if d.is24 { // a block that is added to the defaults
		if b := d.conf.block("auth_policy_request_attributes"); b != nil {
			for name, value := range b.settings {
				all[name] = value
			}
		}
	}
	return all
}

// penalty tells whether Dovecot's own penalty is on.
func (d *dovecot) penalty() bool {
	anvil := d.conf.named("service", "anvil")
	if anvil == nil {
		return true
	}
	socket := anvil.named("unix_listener", "anvil-auth-penalty")
	if socket == nil {
		return true
	}
	mode, set := socket.settings["mode"]
	return !set || strings.Trim(mode, "0") != ""
}

// fingerprint tells nonces apart without showing them. The key, where hosts
// share one, is known to them only.
func fingerprint(nonce string, key []byte) string {
	mac := hmac.New(sha256.New, append([]byte("saslguard doctor nonce\x00"), key...))
	mac.Write([]byte(nonce))
	return hex.EncodeToString(mac.Sum(nil)[:4])
}

// ask asks at the URL as Dovecot would, about a client that is nobody: saslguard
// answers and counts nothing.
func (d *dovecot) ask(ctx context.Context) {
	if !d.asks() {
		return
	}
	d.status, d.answer = d.question(ctx)
}

const nobody = `{"device_id":"","login":"","protocol":"doctor","pwhash":"","remote":"","session_id":"","tls":false}`

func (d *dovecot) question(ctx context.Context) (status int, err error) {
	where := d.get("auth_policy_server_url")
	u, err := url.Parse(where)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		// The error of url.Parse would show the password in it.
		return 0, errors.New("it is no http:// or https:// address")
	}
	transport, err := d.transport()
	if err != nil {
		return 0, err
	}
	defer transport.CloseIdleConnections()
	mark := "?"
	if strings.HasSuffix(where, "&") {
		mark = ""
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, where+mark+"command=allow", bytes.NewBufferString(nobody))
	if err != nil {
		return 0, errors.New("it is no address that can be asked")
	}
	req.Header.Set("Content-Type", "application/json")
	if name, value := d.apiHeader(); name != "" {
		req.Header.Set(name, value)
	}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the URL, which may hold a password
		}
		return 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return res.StatusCode, err
	}
	return res.StatusCode, likeSaslguard(res.StatusCode, body)
}

// likeSaslguard returns why an answer is not that of a saslguard that lets
// nobody through.
func likeSaslguard(status int, body []byte) error {
	if status != http.StatusOK {
		return fmt.Errorf("the answer is HTTP %d", status)
	}
	var answer map[string]any
	if err := json.Unmarshal(body, &answer); err != nil {
		return errors.New("what answers there does not speak the protocol of Dovecot's policy servers")
	}
	if _, ok := answer["status"].(float64); !ok || len(answer) != 2 {
		return errors.New("what answers there is another policy server than saslguard")
	}
	return nil
}

// apiHeader is the header that Dovecot adds.
func (d *dovecot) apiHeader() (name, value string) {
	h := d.get("auth_policy_server_api_header")
	if h == "" {
		return "", ""
	}
	name, value, ok := strings.Cut(h, ":")
	if !ok {
		return "X-API-Key", strings.TrimSpace(h)
	}
	return strings.TrimSpace(name), strings.TrimSpace(value)
}
