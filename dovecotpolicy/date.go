package dovecotpolicy

import "time"

const (
	// dateGrain is how much later than its Date a request may have been made:
	// the header has whole seconds.
	dateGrain = time.Second
	// lateReport is the age from which a report is dated back. What is younger
	// is new, within the header's grain and the deviation of two clocks.
	lateReport = 2 * time.Second
	// latestReport is the age beyond which it is the clock that is wrong: no
	// request waits so long.
	latestReport = 10 * time.Minute
)

// stale says whether a question is certainly older than the time after which
// Dovecot no longer waits for its answer. An unreadable or missing date, and
// one of the future, is now.
func stale(date []byte, now time.Time, after time.Duration) bool {
	at, ok := parseDate(date)
	return ok && now.Sub(at)-dateGrain >= after
}

// reportedAt is when a report was made, or zero for now.
func reportedAt(date []byte, now time.Time) time.Time {
	at, ok := parseDate(date)
	if age := now.Sub(at); !ok || age < lateReport || age > latestReport {
		return time.Time{}
	}
	return at
}

// parseDate reads the one form of Date that may be sent (IMF-fixdate, RFC 9110
// section 5.6.7), which is the one that Dovecot sends.
func parseDate(text []byte) (time.Time, bool) {
	const form = "Sun, 06 Nov 1994 08:49:37 GMT"
	if len(text) != len(form) || string(text[25:]) != " GMT" ||
		text[16] != ' ' || text[19] != ':' || text[22] != ':' {
		return time.Time{}, false
	}
	day, ok1 := digits(text[5:7])
	year, ok2 := digits(text[12:16])
	hour, ok3 := digits(text[17:19])
	minute, ok4 := digits(text[20:22])
	second, ok5 := digits(text[23:25])
	m := month(text[8:11])
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || m == 0 ||
		day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, false
	}
	return time.Date(year, m, day, hour, minute, second, 0, time.UTC), true
}

func digits(text []byte) (n int, ok bool) {
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

// month returns the month that is abbreviated, or 0.
func month(text []byte) time.Month {
	const names = "JanFebMarAprMayJunJulAugSepOctNovDec"
	for m := range 12 {
		if string(text) == names[3*m:3*m+3] {
			return time.Month(m + 1)
		}
	}
	return 0
}
