package follow

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/maillog"
)

// Whoever wants to be told of a log that is not understood is, once an hour.
func TestNoticesAreTold(t *testing.T) {
	var told []Notice
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	m, err := newMetrics(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := newFeed(&shared{
		now: func() time.Time { return now }, log: zap.NewNop(), metrics: m, notice: func(n Notice) { told = append(told, n) },
	}, "mail.log", maillog.Options{})
	for i := range 3 * fewMalformed {
		f.line(fmt.Appendf(nil, "nothing that a log would say %d", i), int64(i))
	}
	look := []byte("Nov 22 12:00:00 mx dovecot: imap-login: Login thwarted utterly (auth failed, 1 attempts in 2 secs): rip=198.51.100.7")
	for i := range 3 * fewUnknown {
		f.notices.see(maillog.Reading{Class: maillog.Unknown, Kind: "dovecot"}, fmt.Appendf(look, "%d", i))
	}
	want := []Notice{{"mail.log", "", fewMalformed}, {"mail.log", "dovecot", fewUnknown}}
	if !slices.Equal(told, want) {
		t.Errorf("told %+v, want %+v", told, want)
	}
	now = now.Add(noticeEvery)
	f.notices.see(maillog.Reading{Class: maillog.Unknown, Kind: "dovecot"}, look)
	if len(told) != 3 {
		t.Errorf("told %+v an hour later", told)
	}
}
