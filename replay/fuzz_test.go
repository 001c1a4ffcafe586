package replay

import (
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/saslguard/saslguard/test/fuzzing"
)

// Whatever is in a log, the report is made, and its table is printable ASCII: nothing
// of what an attacker wrote reaches a terminal as it is.
func FuzzReport(f *testing.F) {
	sample, err := os.ReadFile("../testdata/replay/mail.log")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample)
	f.Add([]byte("2026-11-22T07:00:00Z mx1 postfix/smtpd[1]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=\x1b[2J\xff\u202e\n"))
	f.Add([]byte("2026-11-22T07:00:00Z mx1 imapd\x1b[1]: login failed for \u009b31m\x00\x7f\r\n"))
	f.Add([]byte("Nov 22 07:00:00 mx1 dovecot: imap-login: Disconnected (auth failed, 999999999 attempts): user=<a>, method=PLAIN, rip=2001:db8::1, lip=::1\n"))
	f.Add([]byte("9999-12-31T23:59:59Z mx1 postfix/smtpd[1]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x\n0000-01-01T00:00:00Z mx1 postfix/smtpd[1]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x\n"))
	f.Fuzz(func(t *testing.T, log []byte) {
		r, err := run(t, log, func(o *Options) { o.Focus.Account = "info@example.org" })
		if err != nil && !errors.Is(err, ErrNothing) {
			if r != nil {
				t.Fatal("a report and an error")
			}
			return // no text, or compressed and broken
		}
		for i, c := range []byte(r.table(t)) {
			if c != '\n' && (c < ' ' || c > '~') {
				t.Fatalf("octet %q at %d of the table", c, i)
			}
		}
		if _, err := json.Marshal(r); err != nil {
			t.Fatal(err)
		}
		if got := r.Results[0].Totals; got.FailuresVerified+got.FailuresRefused != got.Failures || got.Failures != r.Read.Failures {
			t.Fatalf("%+v of %d failures", got, r.Read.Failures)
		}
	})
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
