package dovecotpolicy

import (
	"fmt"
	"testing"
	"time"
)

// TestNoSecret takes hashes that Dovecot 2.3.19.1 sent for CRAM-MD5, with the
// nonce "some nonce".
func TestNoSecret(t *testing.T) {
	for _, c := range []struct {
		mech         string
		bits         int
		login, hash  string
		mechanism    string
		none, looked bool
	}{
		{"sha256", 12, "alice@example.org", "0970", "", true, true},
		{"sha256", 12, "alice@example.org", "0970", "CRAM-MD5", true, true},
		{"sha256", 12, "nobody@example.org", "0101", "", true, true},
		{"sha1", 13, "alice@example.org", "002c", "", true, true},
		{"sha1", 13, "nobody@example.org", "1ff0", "", true, true},
		{"md5", 7, "alice@example.org", "7f", "", true, true},
		{"sha256", 33, "alice@example.org", "012e0f46da", "", true, true},
		{"sha384", 12, "nobody@example.org", "0110", "", true, true},
		{"sha3-256", 16, "alice@example.org", "206b", "", true, true},
		{"sha512", 0, "alice@example.org", "93e28722fbfad4af7b70d6ec458113b70dfd03a0ad8bff07d481395947e27537f0dbc6603f23eb3303ecdd0e382144a047b2d5228262ae1f42b028df59cc5a0e", "", true, true},
		{"sha256", 12, "alice@example.org", "090c", "", false, true},       // a password
		{"sha256", 12, "alice@example.org", "0970", "PLAIN", false, false}, // one that happens to have that hash
		{"sha256", 16, "alice@example.org", "9707", "", true, true},
		{"sha256", 13, "alice@example.org", "7f", "", false, false}, // not what Dovecot is set to
		{"sha256", 12, "alice@example.org", "", "", false, false},
	} {
		cfg := testConfig()
		cfg.Nonce, cfg.HashMech, cfg.HashTruncate = "some nonce", c.mech, c.bits
		judge := new(fakeJudge)
		a, set := newTestAnswerer(t, cfg, judge)
		body := fmt.Sprintf(`{"login":%q,"mech":%q,"pwhash":%q,"remote":"::1"}`, c.login, c.mechanism, c.hash)
		a.answer(set, &request{body: []byte(body)}, time.Now())
		if got := judge.seen()[0]; got.NoSecret != c.none || got.HashChecked != c.looked {
			t.Errorf("%s %d %s %s: none %t, looked %t", c.mech, c.bits, body, c.hash, got.NoSecret, got.HashChecked)
		}
	}
}
