package guard

import (
	"testing"
	"time"
)

func TestServiceGroups(t *testing.T) {
	for service, want := range map[string]string{
		"smtp": "smtp", "smtps": "smtp", "submission": "smtp", "submissions": "smtp",
		"imap": "imap", "imaps": "imap", "pop3": "pop3", "pop3s": "pop3", "sieve": "sieve", "managesieve": "sieve",
		"": "other", "doveadm": "other", "IMAP": "other", "lmtp": "other",
	} {
		if got := ServiceGroup(service); got != want {
			t.Errorf("%q is %s, want %s", service, got, want)
		}
	}
}

// A service is reported from its first report on, until they stay away: what
// happened before, or long after, only a log can tell.
func TestReported(t *testing.T) {
	var r reporting
	begin := time.Unix(1_800_000_000, 0)
	holds := func(service string, after time.Duration, want bool) {
		t.Helper()
		if got := r.at(service, begin.Add(after)); got != want {
			t.Errorf("%s at %s: %t", service, after, got)
		}
	}
	holds("smtp", 0, false)
	r.note("smtp", begin)
	r.note("smtp", begin.Add(5*time.Minute))
	for after, want := range map[time.Duration]bool{
		-time.Minute: false, -time.Second: true, 0: true, 5 * time.Minute: true, 14 * time.Minute: true, 16 * time.Minute: false,
	} {
		holds("submission", after, want)
		holds("imap", after, false)
	}
	r.note("smtps", begin.Add(time.Hour))
	holds("smtp", 30*time.Minute, false)
	holds("smtp", time.Hour, true)
	holds("smtp", 6*time.Minute, false)
}
