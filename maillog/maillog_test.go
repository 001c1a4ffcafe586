package maillog

import (
	"testing"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
)

func TestOneFailureInEachEnvelope(t *testing.T) {
	const message = "warning: unknown[192.0.2.7]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=alice@lab.test"
	for _, envelope := range []string{
		"Nov 22 10:00:00 mx postfix/smtpd[5401]: ",
		"Nov  2 10:00:00 mx postfix/smtpd[5401]: ",
		"2026-11-22T10:00:00.123456+01:00 mx postfix/smtpd[5401]: ",
		"<22>Nov 22 10:00:00 mx postfix/smtpd[5401]: ",
		"<22>1 2026-11-22T10:00:00.123456+01:00 mx postfix 5401 - -  ",
		"docker-1  | 2026-11-22T10:00:00.123456789Z Nov 22 10:00:00 mx postfix/smtpd[5401]: ",
	} {
		var got []guard.Attempt
		r := New(Options{}).Parse([]byte(envelope+message), func(a guard.Attempt) { got = append(got, a) })
		if r.Class != Login || r.Kind != "postfix" || r.Line.PID != 5401 || r.Line.Host != "mx" || string(r.Line.Message) != message {
			t.Errorf("%s read as %+v", envelope, r)
		}
		if len(got) != 1 || got[0].Client.String() != "192.0.2.7" || got[0].Login != "alice@lab.test" || got[0].Outcome != score.Failure || got[0].At.IsZero() {
			t.Errorf("%s yields %+v", envelope, got)
		}
	}
}
