package maillog

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/saslguard/saslguard/guard"
)

var update = flag.Bool("update", false, "write the expectations of testdata/maillog anew; read the difference")

const logs = "../testdata/maillog"

// TestLogs holds the parser to every line of testdata/maillog. Above each stands,
// after "# ", how it is read; "## " is a remark, "#! " says how the log is read.
func TestLogs(t *testing.T) {
	files, err := filepath.Glob(logs + "/*.log")
	if err != nil || len(files) == 0 {
		t.Fatalf("no logs: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			l := openLog(t, file)
			var out strings.Builder
			for i, line := range l.lines {
				got := l.read(line.text)
				if got != line.want && !*update {
					t.Errorf("%s:%d: %s\n is read as %s\n      not as %s", file, line.number, line.text, got, line.want)
				}
				fmt.Fprintf(&out, "%s# %s\n%s\n", l.before[i], got, line.text)
			}
			if *update {
				if err := os.WriteFile(file, []byte(out.String()+l.before[len(l.lines)]), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

type testLine struct {
	text, want string
	number     int
}

// testLog is an annotated log.
type testLog struct {
	lines    []testLine
	before   []string // what stands before each line and its expectation, and at the end
	options  Options
	envelope bool
	parser   *Parser
}

func openLog(t testing.TB, file string) *testLog {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	l := &testLog{options: Options{Location: time.UTC}}
	var before strings.Builder
	want := ""
	for i, text := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		switch {
		case strings.HasPrefix(text, "#! "):
			l.directive(t, file, strings.Fields(text[3:]))
			before.WriteString(text + "\n")
		case strings.HasPrefix(text, "## "), text == "":
			before.WriteString(text + "\n")
		case strings.HasPrefix(text, "# "):
			want = text[2:]
		default:
			if want == "" && !*update {
				t.Fatalf("%s:%d: no expectation", file, i+1)
			}
			l.lines = append(l.lines, testLine{text, want, i + 1})
			l.before = append(l.before, before.String())
			before.Reset()
			want = ""
		}
	}
	l.before = append(l.before, before.String())
	l.parser = New(l.options)
	return l
}

func (l *testLog) directive(t testing.TB, file string, d []string) {
	t.Helper()
	var err error
	switch d[0] {
	case "latest":
		l.options.Latest, err = time.Parse(time.RFC3339, d[1])
	case "zone":
		l.options.Location, err = time.LoadLocation(d[1])
	case "count":
		l.options.Dovecot = map[string]DovecotLines{"auth": DovecotAuth, "pam": DovecotPAM}[d[1]]
	case "envelope":
		l.envelope = true
	default:
		err = fmt.Errorf("no such directive")
	}
	if err != nil {
		t.Fatalf("%s: #! %s: %v", file, d, err)
	}
}

// read reads a line and says how, in a line.
func (l *testLog) read(text string) string {
	var attempts []guard.Attempt
	r := l.parser.Parse([]byte(text), func(a guard.Attempt) { attempts = append(attempts, a) })
	s := r.Class.String()
	if r.Kind != "" {
		s += " " + r.Kind
	}
	if r.Why != "" {
		s += " (" + r.Why + ")"
	}
	if l.envelope && r.Class != Malformed {
		s += fmt.Sprintf(" at %s host=%s program=%s pid=%d", r.Line.At.Format(time.RFC3339Nano), r.Line.Host, r.Line.Program, r.Line.PID)
	}
	for _, a := range attempts {
		s += fmt.Sprintf(": %s of %s", outcome(a.Outcome), a.Client)
		if a.Service != "" {
			s += " " + a.Service
		}
		if a.Mechanism != "" {
			s += " " + a.Mechanism
		}
		if a.Count != 1 {
			s += fmt.Sprintf(" ×%d", a.Count)
		}
		if a.Login != "" {
			s += " as " + printable(a.Login)
		}
		if !a.At.Equal(r.Line.At) || a.Face != guard.Log {
			s += fmt.Sprintf(" BUT at %v by %v", a.At, a.Face)
		}
	}
	return s
}
