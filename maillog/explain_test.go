package maillog

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestExplain(t *testing.T) {
	o := Options{Location: time.UTC, Latest: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}
	for _, c := range []struct{ line, want string }{
		{
			"Nov 22 10:00:00 mx postfix/submission/smtpd[7]: warning: unknown[192.0.2.7]: SASL PLAIN authentication failed: x, sasl_username=a\x1b[31m",
			`time=2026-11-22T10:00:00Z; host=mx; program=postfix/submission/smtpd; pid=7; ` +
				`message=warning: unknown[192.0.2.7]: SASL PLAIN authentication failed: x, sasl_username=a\x1b[31m; ` +
				`read as=postfix; class=login; outcome=failure; client=192.0.2.7; account=a\x1b[31m; service=submission; mechanism=PLAIN; attempts=1`,
		},
		{
			"Nov 22 10:00:00 mx postfix/smtpd[7]: warning: unknown[192.0.2.7]: SASL PLAIN authentication failed: generic failure",
			`time=2026-11-22T10:00:00Z; host=mx; program=postfix/smtpd; pid=7; ` +
				`message=warning: unknown[192.0.2.7]: SASL PLAIN authentication failed: generic failure; ` +
				`read as=postfix; class=login; not counted=a broken backend, not the client's failure`,
		},
		{"Nov 22 10:00:00 mx sshd[7]: x", `time=2026-11-22T10:00:00Z; host=mx; program=sshd; pid=7; message=x; class=other`},
		{"what is this", `class=malformed`},
		{"", `class=other`},
	} {
		var got []string
		for _, f := range New(o).Explain([]byte(c.line)) {
			got = append(got, fmt.Sprintf("%s=%s", f.Name, f.Value))
		}
		if s := strings.Join(got, "; "); s != c.want {
			t.Errorf("%q is explained as\n%s, not as\n%s", c.line, s, c.want)
		}
	}
}
