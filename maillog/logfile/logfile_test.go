package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/maillog"
)

// compress writes the text with the real tool and returns the file's name.
func compress(t *testing.T, tool, name, text string) string {
	t.Helper()
	if tool != "cat" {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("install it: apt-get install gzip bzip2 xz-utils zstd: %v", err)
		}
	}
	args := map[string][]string{ // small blocks, or a small text would be in one
		"gzip": {"-c"}, "bzip2": {"-c", "-1"}, "xz": {"-c", "--block-size=65536"}, "zstd": {"-c"},
	}[tool]
	cmd := exec.Command(tool, args...)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func lines(t *testing.T, l *Log) []string {
	t.Helper()
	var all []string
	if err := l.Lines(func(line []byte) bool { all = append(all, string(line)); return true }); err != nil {
		t.Fatal(err)
	}
	return all
}

func day(d, n int) string {
	var b strings.Builder
	random := rand.New(rand.NewPCG(1, uint64(d)))
	for i := range n {
		fmt.Fprintf(&b, "2026-11-%02dT10:00:%02d.%06d+00:00 mx postfix/smtpd[%d]: connect from unknown[2001:db8::%x:%x]\n", d, i%60, i%1e6, 1000+i, random.IntN(1<<16), random.IntN(1<<16))
	}
	return b.String()
}

func TestEveryForm(t *testing.T) {
	text := day(1, 4_000)
	want := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for _, tool := range []string{"cat", "gzip", "bzip2", "xz", "zstd"} {
		path := compress(t, tool, "mail.log", text) // no name says how it is compressed
		logs, err := Open([]string{path}, nil, maillog.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := lines(t, logs[0]); !slices.Equal(got, want) {
			t.Errorf("%s: %d lines of %d, or others", tool, len(got), len(want))
		}
		if read, total := logs[0].Progress(); read != total || total == 0 {
			t.Errorf("%s: read %d of %d bytes", tool, read, total)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		logs, err = Open([]string{"-"}, f, maillog.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := lines(t, logs[0]); !slices.Equal(got, want) {
			t.Errorf("%s as standard input: %d lines of %d, or others", tool, len(got), len(want))
		}
	}
}

func TestTheOrderIsThatOfTime(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"mail.log", "mail.log.1", "mail.log.2.gz", "mail.log.10.gz"} {
		old := compress(t, map[bool]string{true: "gzip", false: "cat"}[strings.HasSuffix(name, ".gz")], "x", day(20-i, 3))
		if err := os.Rename(old, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	stdin := strings.NewReader(day(25, 2))
	logs, err := Open([]string{filepath.Join(dir, "mail.log"), "-", filepath.Join(dir, "mail.log*")}, stdin, maillog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	var last time.Time
	for _, l := range logs {
		names = append(names, filepath.Base(l.Name()))
		if !l.First().After(last) {
			t.Errorf("%s begins at %v, not after %v", l.Name(), l.First(), last)
		}
		last = l.First()
	}
	if want := []string{"mail.log.10.gz", "mail.log.2.gz", "mail.log.1", "mail.log", "standard input"}; !slices.Equal(names, want) {
		t.Errorf("the order is %q, want %q", names, want)
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ path, want string }{
		{dir, "is a directory; name its files"},
		{filepath.Join(dir, "none*"), "no file matches"},
		{filepath.Join(dir, "none"), "no such file"},
		{filepath.Join(dir, "a["), "is not well-formed"},
		{write("system.journal", "LPKSHHRH\x00\x00\x00\x00"), "journalctl --file"},
		{write("a.lz4", "\x04\x22\x4d\x18aaaa"), "lz4 -dc"},
		{write("a.zip", "PK\x03\x04aaaa"), "zip archive"},
		{write("a.bin", strings.Repeat("\x00\x01", 60)), "is no text"},
		{write("short.gz", "\x1f\x8b\x08"), "unexpected EOF"},
		{write("big.xz", "\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x24\x00\x00\x00\x00\x00\x00\x00"), "more than 128 MiB"},
	} {
		_, err := Open([]string{c.path}, nil, maillog.Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), strings.TrimSuffix(c.path, "*")) {
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
		}
	}
	if _, err := Open([]string{dir, filepath.Join(dir, "none")}, nil, maillog.Options{}); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("not all mistakes are told at once: %v", err)
	}
}

func TestAFileThatEndsTooEarly(t *testing.T) {
	text := day(1, 4_000)
	for _, tool := range []string{"gzip", "bzip2", "xz", "zstd"} {
		path := compress(t, tool, "mail.log", text)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, info.Size()*9/10); err != nil {
			t.Fatal(err)
		}
		logs, err := Open([]string{path}, nil, maillog.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		err = logs[0].Lines(func(line []byte) bool { got.Write(line); got.WriteByte('\n'); return true })
		n, _ := logs[0].Count()
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), fmt.Sprintf("after line %d:", n)) {
			t.Errorf("%s: %v", tool, err)
		}
		// xz and bzip2 give nothing of a block that is not whole.
		if !strings.HasPrefix(text, got.String()) || n < 2_000 {
			t.Errorf("%s: %d lines, which are the beginning of the log: %v", tool, n, strings.HasPrefix(text, got.String()))
		}
	}
}

func TestAFileThatIsDamaged(t *testing.T) {
	text := day(1, 4_000)
	for _, tool := range []string{"gzip", "bzip2", "xz", "zstd"} {
		path := compress(t, tool, "mail.log", text)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 64 {
			b[len(b)*3/4+i] ^= 0xa5
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		logs, err := Open([]string{path}, nil, maillog.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := logs[0].Lines(func([]byte) bool { return true }); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", tool, err)
		}
	}
}

func TestLongLinesAreCutAndNeverJoined(t *testing.T) {
	for _, long := range []int{maillog.MaxLine, maillog.MaxLine + 1, chunk, chunk + maillog.MaxLine, 3 * chunk, 10 * chunk} {
		text := "first\n" + strings.Repeat("x", long) + "\r\nsecond\n\n" + strings.Repeat("y", long) + "\nlast"
		path := compress(t, "cat", "mail.log", text)
		logs, err := Open([]string{path}, nil, maillog.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := lines(t, logs[0])
		most := min(long, maillog.MaxLine)
		want := []string{"first", strings.Repeat("x", most), "second", "", strings.Repeat("y", most), "last"}
		if !slices.Equal(got, want) {
			for i, l := range got {
				t.Logf("%d: %d bytes, %.10s", i, len(l), l)
			}
			t.Errorf("a line of %d bytes: %d lines", long, len(got))
		}
		cut := int64(0)
		if long > maillog.MaxLine {
			cut = 2
		}
		if n, c := logs[0].Count(); n != 6 || c != cut {
			t.Errorf("a line of %d bytes: %d lines, %d cut", long, n, c)
		}
	}
}

// TestMemoryIsBounded reads 32 MiB out of a small file.
func TestMemoryIsBounded(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "bomb")
	cmd := exec.Command("sh", "-c", "head -c 33554432 /dev/zero | zstd -c >"+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	logs, err := Open([]string{path}, nil, maillog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if got := lines(t, logs[0]); len(got) != 1 || len(got[0]) != maillog.MaxLine {
		t.Errorf("%d lines", len(got))
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
		t.Errorf("%d MiB were allocated for a line that has no end", used>>20)
	}
}

func TestTheYearComesFromTheFile(t *testing.T) {
	path := compress(t, "cat", "mail.log", "Dec 31 23:59:59 mx postfix/smtpd[1]: connect from unknown[192.0.2.7]\nJan  1 00:00:01 mx postfix/smtpd[1]: connect from unknown[192.0.2.7]\n")
	changed := time.Date(2019, 1, 1, 0, 0, 2, 0, time.UTC)
	if err := os.Chtimes(path, changed, changed); err != nil {
		t.Fatal(err)
	}
	logs, err := Open([]string{path}, nil, maillog.Options{Location: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2018, 12, 31, 23, 59, 59, 0, time.UTC); !logs[0].First().Equal(want) || !logs[0].Changed().Equal(changed) {
		t.Errorf("begins at %v and was changed at %v", logs[0].First(), logs[0].Changed())
	}
	// gzip keeps the time of the file that it has compressed, whatever became of its own.
	if out, err := exec.Command("gzip", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chtimes(path+".gz", time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	logs, err = Open([]string{path + ".gz"}, nil, maillog.Options{Location: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	if !logs[0].Changed().Equal(changed) || logs[0].First().Year() != 2018 {
		t.Errorf("compressed it begins at %v and was changed at %v", logs[0].First(), logs[0].Changed())
	}
}

func TestStopsWhenAsked(t *testing.T) {
	logs, err := Open([]string{"-"}, bytes.NewBufferString(day(1, 100)), maillog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := logs[0].Lines(func([]byte) bool { n++; return n < 5 }); err != nil || n != 5 {
		t.Errorf("%d lines, %v", n, err)
	}
}

func BenchmarkLines(b *testing.B) {
	path := filepath.Join(b.TempDir(), "mail.log")
	if err := os.WriteFile(path, []byte(day(1, 100_000)), 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		logs, err := Open([]string{path}, nil, maillog.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := logs[0].Lines(func([]byte) bool { n++; return true }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/line")
}
