package adversary

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

// The halves of the suite, as the table shows them.
const (
	attackers = "attackers"
	owners    = "owners"
)

// The guards that are compared.
const (
	withSaslguard = "saslguard"
	withFail2ban  = "fail2ban"
	withNothing   = "none"
)

// row is what one scenario came to.
type row struct {
	Half     string // attackers or owners
	Scenario string
	Guard    string // one of the guards; "" is saslguard

	Guesses  int           // passwords that attackers sent
	Verified int           // and of them those that Dovecot's database was asked for
	Allowed  string        // how many the rules allow, such as "10" or "≤ 40"
	Banned   time.Duration // from the first guess to the ban; 0: none

	Logins, Refused int           // of owners with the right password
	P50, P99        time.Duration // how much longer than usual those took
	Note            string
}

// rowsEnv names the file of the rows, one of JSON a line, and tableEnv another to
// which the table is written beside being printed: go test hides what packages print
// that pass.
const (
	rowsEnv  = "ADVERSARY_ROWS"
	tableEnv = "ADVERSARY_TABLE"
)

// add adds a row to the table.
func add(t *testing.T, r row) {
	t.Helper()
	r.Guard = cmp.Or(r.Guard, withSaslguard)
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(os.Getenv(rowsEnv), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
}

// withTable has run's tests fill a table, and prints it.
func withTable(run func() int) int {
	code, err := tabled(run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "the table of figures:", err)
		return 1
	}
	return code
}

func tabled(run func() int) (code int, err error) {
	dir, err := os.MkdirTemp("", "saslguard-adversary-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "rows")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return 0, err
	}
	if err := os.Setenv(rowsEnv, path); err != nil {
		return 0, err
	}
	code = run()
	rows, err := readRows(path)
	if err != nil || len(rows) == 0 {
		return code, err
	}
	text := render(rows)
	fmt.Println(text)
	if to := os.Getenv(tableEnv); to != "" {
		err = os.WriteFile(to, []byte(text+"\n"), 0o644)
	}
	return code, err
}

func readRows(path string) ([]row, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var rows []row
	for line := range bytes.Lines(text) {
		var r row
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.Half, b.Half), cmp.Compare(a.Scenario, b.Scenario), cmp.Compare(a.Guard, b.Guard))
	})
	return rows, nil
}

func render(rows []row) string {
	form := "short form"
	if *long {
		form = "long form"
	}
	w := table.NewWriter()
	w.SetTitle("%s", form)
	w.AppendHeader(table.Row{"", "Scenario", "Guard", "Guesses", "Verified", "Allowed", "Banned after", "Owners' logins", "Refused", "Added p50", "p99", "Note"})
	for _, r := range rows {
		w.AppendRow(table.Row{
			r.Half, r.Scenario, r.Guard, number(r.Guesses), known(r), r.Allowed, span(r.Banned), number(r.Logins), lost(r), span(r.P50), span(r.P99), r.Note,
		})
	}
	return w.RenderMarkdown()
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// known and lost are figures also where they are 0.
func known(r row) string {
	if r.Guesses == 0 {
		return ""
	}
	return strconv.Itoa(r.Verified)
}

func lost(r row) string {
	if r.Logins == 0 {
		return ""
	}
	return strconv.Itoa(r.Refused)
}

func span(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(100 * time.Millisecond).String()
	}
}
