package guard

import (
	"sync/atomic"
	"time"
)

// ServiceGroup returns the group of services to which one belongs, under names
// that Dovecot's reports and mail logs have in common: smtp, imap, pop3, sieve or
// other. Dovecot reports Postfix's logins as smtp on whichever port they were,
// while the log tells submission from smtp, so that both are smtp here.
func ServiceGroup(service string) string { return groupNames[groupOf(service)] }

// The groups of services.
const (
	groupSMTP = iota
	groupIMAP
	groupPOP3
	groupSieve
	groupOther
	groups
)

var groupNames = [groups]string{"smtp", "imap", "pop3", "sieve", "other"}

func groupOf(service string) int {
	switch service {
	case "smtp", "smtps", "submission", "submissions":
		return groupSMTP
	case "imap", "imaps":
		return groupIMAP
	case "pop3", "pop3s":
		return groupPOP3
	case "sieve", "managesieve":
		return groupSieve
	}
	return groupOther
}

// reportsFor is how long a service counts as reported after a report.
const reportsFor = 10 * time.Minute

// reportSlack is by how much a log's time of an attempt may be before that of its
// report: logs are written in whole seconds.
const reportSlack = 2 * time.Second

// reporting remembers for which services Dovecot reports logins, and since when.
// It keeps nothing over a restart: Dovecot's report of a login comes before the
// login's line in the log.
type reporting [groups]struct {
	first, last atomic.Int64 // in Unix nanoseconds; first is of the present row of reports
}

func (r *reporting) note(service string, now time.Time) {
	s := &r[groupOf(service)]
	if t := now.UnixNano(); t-s.last.Swap(t) > int64(reportsFor) {
		s.first.Store(t)
	}
}

func (r *reporting) at(service string, at time.Time) bool {
	s := &r[groupOf(service)]
	t, first, last := at.UnixNano(), s.first.Load(), s.last.Load()
	return last != 0 && t >= first-int64(reportSlack) && t <= last+int64(reportsFor)
}

// Reported tells whether Dovecot reported the logins of a service at that time,
// so that what a log says of them has been counted. What happened before the
// first report, or while nobody took reports, has not.
func (g *Guard) Reported(service string, at time.Time) bool { return g.reporting.at(service, at) }
