package guard

import (
	"net/netip"
	"testing"
	"time"

	"github.com/saslguard/saslguard/score"
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

// A log's line may be read again after a crash: its attempts have IDs, under which
// a failure counts once, and without one each counts.
func TestAnAttemptWithAnIDCountsOnce(t *testing.T) {
	w := newWorld(t, nil)
	failed := func(id uint64, count int) score.Milli {
		a := Attempt{Face: Log, Service: "smtp", Client: netip.MustParseAddr("203.0.113.9"), Login: "alice", At: w.Now(), ID: id, Count: count}
		return w.tell(a, score.Failure).Standing.Client.Score
	}
	for _, c := range []struct {
		id    uint64
		count int
		want  score.Milli
	}{{7, 1, 1}, {7, 1, 1}, {8, 3, 4}, {8, 3, 4}, {7, 1, 4}, {0, 1, 5}, {0, 1, 6}} {
		if got := failed(c.id, c.count); got != c.want*score.Point {
			t.Errorf("%+v: the client has %s points", c, points(got))
		}
	}
}

// Reports of Dovecot, and of nobody else, tell that a service is reported.
func TestDovecotReportsAService(t *testing.T) {
	w := newWorld(t, nil)
	w.guard.Report(Attempt{Face: Postfix, Service: "smtp", Outcome: score.Success})
	if w.guard.Reported("smtp", w.Now()) {
		t.Error("Postfix tells of logins only when mail is sent")
	}
	w.guard.Report(Attempt{Face: Dovecot, Service: "smtp", Outcome: score.Failure})
	if !w.guard.Reported("submission", w.Now()) || w.guard.Reported("imap", w.Now()) {
		t.Error("a report is not noted as one of its service")
	}
}
