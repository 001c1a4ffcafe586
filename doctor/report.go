package doctor

import (
	"cmp"
	"encoding"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Severity is how bad a finding is.
type Severity uint8

// The severities.
const (
	OK      Severity = iota // as it should be
	Info                    // good to know, or not to be seen
	Warning                 // works, with less than it could or against surprises
	Error                   // does not guard, or stops mail or logins
)

var severityNames = [...]string{"ok", "info", "warning", "error"}

var _ encoding.TextMarshaler = OK

// String returns the severity as reports have it.
func (s Severity) String() string { return severityNames[s] }

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Severity) UnmarshalText(text []byte) error {
	i := slices.Index(severityNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("%q is no severity; allowed is ok, info, warning or error", text)
	}
	*s = Severity(i)
	return nil
}

// Finding is what was found of one thing that was looked at.
type Finding struct {
	ID       string   `json:"id"`                // of the Kind; stable
	Severity Severity `json:"severity"`          // ok, info, warning or error
	Subject  string   `json:"subject,omitempty"` // what it is about, such as a service of Postfix
	Found    string   `json:"found"`             // what is so
	Why      string   `json:"why,omitempty"`     // why it matters; not with ok
	Fix      string   `json:"fix,omitempty"`     // what mends it, with the exact lines; may have several
}

// Report is what a Run found.
type Report struct {
	Version  string    `json:"version"` // of the program that looked
	At       time.Time `json:"at"`
	Findings []Finding `json:"findings"` // the worst first
}

// Worst is the severity of the worst finding.
func (r *Report) Worst() Severity {
	worst := OK
	for _, f := range r.Findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

// Keep drops the findings that are not wanted: those whose ID is not in only,
// unless that is empty, and those in ignore.
func (r *Report) Keep(only, ignore []string) {
	r.Findings = slices.DeleteFunc(r.Findings, func(f Finding) bool {
		return len(only) > 0 && !slices.Contains(only, f.ID) || slices.Contains(ignore, f.ID)
	})
}

// The bounds of what is quoted from settings, which can be long and are
// anybody's words.
const (
	maxSubject = 100
	maxFound   = 600
)

// ok says that something is as it should be.
func (r *Report) ok(id, subject, format string, args ...any) {
	r.add(kindOf(id), OK, subject, fmt.Sprintf(format, args...), "")
}

// wrong says that something is not, with what mends it.
func (r *Report) wrong(id, subject, fix, format string, args ...any) {
	k := kindOf(id)
	r.add(k, k.Severity, subject, fmt.Sprintf(format, args...), fix)
}

// info says what is good to know, or what could not be seen, and so is neither
// right nor wrong.
func (r *Report) info(id, subject, fix, format string, args ...any) {
	r.add(kindOf(id), Info, subject, fmt.Sprintf(format, args...), fix)
}

func (r *Report) add(k Kind, s Severity, subject, found, fix string) {
	f := Finding{ID: k.ID, Severity: s, Subject: plain(subject, maxSubject), Found: plain(found, maxFound)}
	if s != OK {
		f.Why, f.Fix = k.Why, lines(fix)
	}
	r.Findings = append(r.Findings, f)
}

// sort puts the worst first, and what belongs together together.
func (r *Report) sort() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(b.Severity, a.Severity) })
}

// plain makes text fit for a terminal: one line, printable, and bounded.
func plain(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	return s
}

// lines is plain for text that may have lines.
func lines(s string) string {
	all := strings.Split(s, "\n")
	for i, l := range all {
		all[i] = plain(l, maxFound)
	}
	return strings.Join(all, "\n")
}
