package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saslguard/saslguard/replay"
)

var update = flag.Bool("update", false, "write the expected reports anew")

// runReplay runs the command in the folder of the project.
func runReplay(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(append([]string{"replay", "--timezone", "Europe/Berlin"}, args...), &o, &e)
	return code, o.String(), e.String()
}

const (
	sampleLog = "testdata/replay/mail.log"
	fromRoot  = "../.."
)

// The reports on the sample log are those beside it.
func TestReplayReports(t *testing.T) {
	t.Chdir(fromRoot)
	for _, c := range []struct {
		file string
		args []string
	}{
		{"mail.txt", nil},
		{"mail.json", []string{"-o", "json"}},
		{"mail.raw", []string{"-o", "raw"}},
		{"fail2ban.txt", []string{"--maxretry", "5", "--findtime", "10m", "--bantime", "1h", "--compare", "defaults", "--top", "5"}},
		{"client.txt", []string{"--client", "198.51.100.77"}},
		{"account.txt", []string{"--account", "alice@example.org", "--top", "3"}},
		{"since.txt", []string{"--since", "2026-11-22 08:00", "--until", "2026-11-22T09:00:00+01:00", "--top", "3"}},
		{"timezone.txt", []string{"testdata/replay/local.log", "--timezone", "America/New_York", "--since", "2026-11-22T12:10:05Z", "--until", "2026-11-22 07:10:20"}},
		{"explain.txt", []string{"--explain", "2026-11-22T07:00:00+01:00 mx1 postfix/submission/smtpd[7]: warning: unknown[203.0.113.7]: SASL LOGIN authentication failed: authentication failure, sasl_username=info\x1b[31m"}},
	} {
		t.Run(c.file, func(t *testing.T) {
			args := c.args
			if args == nil || strings.HasPrefix(args[0], "-") && args[0] != "--explain" {
				args = append([]string{sampleLog}, args...)
			}
			code, got, stderr := runReplay(t, args...)
			if code != exitOK || stderr != "" {
				t.Fatalf("exit code %d\n%s", code, stderr)
			}
			path := filepath.Join("testdata/replay", c.file)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("is not %s (go test ./cmd/saslguard -run Replay -update writes it)\n%s", path, got)
			}
		})
	}
}

// What is documented of the JSON can be read back, and nothing else is in it.
func TestReplayJSON(t *testing.T) {
	t.Chdir(fromRoot)
	_, out, _ := runReplay(t, sampleLog, "-o", "json", "--client", "203.0.113.7")
	var r replay.Report
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != 1 || len(r.Results[0].Clients) != 1 || r.Results[0].Clients[0].Bans != 1 || len(r.Results[0].Events) == 0 {
		t.Errorf("%+v", r)
	}
}

func TestReplayCommandLine(t *testing.T) {
	t.Chdir(fromRoot)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bare := write("bare.yaml", "client: {tarpit: 2, refuse: 4, ban: 8}\n")
	whole := write("whole.yaml", "dovecot: {tls_cert: /nonexistent, tls_key: /nonexistent}\nrules: {client: {tarpit: 2, refuse: 5, ban: 9}}\n")
	wrong := write("wrong.yaml", "client: {ban: 5}\n")
	typo := write("typo.yaml", "cleint: {ban: 5}\n")
	empty := write("empty.log", "")
	other := write("other.log", "2026-11-22T07:00:00Z mx1 kernel: all is well\n")
	words := write("words.log", "once upon a time\n")
	long := write("long.log", "2026-11-22T07:00:00Z mx1 postfix/smtpd[7]: "+strings.Repeat("x", 70_000)+"\n")
	binary := write("binary", string(make([]byte, 1000)))
	for _, c := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"", exitUsage, "", "replay needs a log"},
		{sampleLog + " --rules " + bare, exitOK, "delayed from 2 points, refused from 4, banned at 8", ""},
		{sampleLog + " --rules " + whole, exitOK, "refused from 5, banned at 9", ""},
		{sampleLog + " --rules " + bare + " --compare " + whole, exitOK, "Clients treated differently", ""},
		{sampleLog + " --rules " + wrong, exitConfig, "", wrong + ":1: rules.client.ban:"},
		{sampleLog + " --rules " + typo, exitConfig, "", typo + ":1: cleint: is not known"},
		{sampleLog + " --rules " + dir + "/none.yaml", exitConfig, "", "none.yaml: cannot be read"},
		{sampleLog + " --rules defaults", exitOK, "With the default rules", ""},
		{sampleLog + " --compare defaults", exitOK, "the default rules (2)", ""},
		{sampleLog + " --maxretry 3 --findtime 600", exitOK, "With maxretry 3, findtime 10m, bantime 10m", ""},
		{sampleLog + " --maxretry 0", exitUsage, "", "--maxretry 0 is out of range; allowed is 1 to 1000"},
		{sampleLog + " --findtime 30s", exitUsage, "", "--findtime 30s is out of range; allowed is 1m26s to 10d"},
		{sampleLog + " --bantime -1", exitOK, "bantime 366d", ""},
		{sampleLog + " --bantime soon", exitUsage, "", "--bantime \"soon\" is no time"},
		{sampleLog + " --client nobody", exitUsage, "", "--client \"nobody\" is neither an address"},
		{sampleLog + " --client=", exitUsage, "", "need a value"},
		{sampleLog + " --client 198.51.100.0/24", exitOK, "What happened", ""},
		{sampleLog + " --client 192.0.2.200", exitOK, "Worst clients: none", ""},
		{sampleLog + " --since 2026-11-22T12:00", exitUsage, "", "is no time; allowed is 2026-11-22"},
		{sampleLog + " --since 2026-11-22T10:00:00+01:00 --until 2026-11-22T11:00:00+01:00", exitOK, "attempts outside of --since and --until", ""},
		{sampleLog + " --since 2026-11-23 --until 2026-11-22", exitUsage, "", "nothing is left"},
		{sampleLog + " --top -1", exitUsage, "", "--top -1 is negative"},
		{sampleLog + " -v", exitOK, "Worst clients", "398 lines in "},
		{long, exitFailed, "longer than 64 KiB", "nothing was recognised"},
		{sampleLog + " -o xml", exitUsage, "", "table, json or raw"},
		{sampleLog + " --timezone Mars/Olympus", exitUsage, "", "Europe/Berlin"},
		{"--explain=", exitUsage, "", "--explain needs a line"},
		{sampleLog + " --explain x", exitUsage, "", "--explain takes a line"},
		{dir, exitFailed, "", "is a directory"},
		{dir + "/none.log", exitFailed, "", "no such file"},
		{dir + "/none*.log", exitFailed, "", "no file matches"},
		{binary, exitFailed, "", "is no text"},
		{empty, exitFailed, "Read 0 lines of 1 file", "nothing was recognised: the log is empty"},
		{other, exitFailed, "Read 1 line of 1 file", "nothing was recognised: none of the 1 lines is about a login"},
		{words, exitFailed, "lines that are no log lines", "nothing was recognised: none of the 1 lines is a line of a log"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, stdout, stderr := runReplay(t, strings.Fields(c.args)...)
			if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
				t.Errorf("exit code %d, want %d\nstdout: %s\nstderr: %s", code, c.code, stdout, stderr)
			}
		})
	}
}
