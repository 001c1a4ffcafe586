package follow

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/fuzzing"
)

func sampleState() *state {
	m := markOf([]byte("0123456789"))
	return &state{
		Version: stateVersion,
		Files: map[string]*fileLog{"/var/log/mail.log": {
			Saved: time.Unix(1_800_000_000, 0).UTC(), Latest: time.Unix(1_800_000_000, 0).UTC(), Looked: time.Unix(1_800_000_000, 0).UTC(),
			Places: []place{{fileID: fileID{1, 2}, Offset: 10, Head: m, Before: m, Ended: true}},
			Known:  []sibling{{3, m}},
		}},
		Journal: &journalLog{Cursor: "s=a8;i=14f;b=91", Latest: time.Unix(1_800_000_000, 0).UTC()},
	}
}

func TestStateIsKept(t *testing.T) {
	dir := t.TempDir()
	s := sampleState()
	for range 2 {
		if err := s.save(dir); err != nil {
			t.Fatal(err)
		}
	}
	got, err := loadState(dir)
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("%+v (%v), want %+v", got, err, s)
	}
	if all, _ := filepath.Glob(filepath.Join(dir, "*")); len(all) != 1 {
		t.Errorf("left are %v", all)
	}
	if err := s.save(filepath.Join(dir, "none")); err == nil {
		t.Error("a directory that is not there is no error")
	}
}

func TestBadStates(t *testing.T) {
	for name, change := range map[string]func(s *state){
		"version":  func(s *state) { s.Version = 2 },
		"relative": func(s *state) { s.Files["mail.log"] = s.Files["/var/log/mail.log"] },
		"offset":   func(s *state) { s.Files["/var/log/mail.log"].Places[0].Offset = -1 },
		"mark":     func(s *state) { s.Files["/var/log/mail.log"].Places[0].Head.Length = 1 << 40 },
		"sibling":  func(s *state) { s.Files["/var/log/mail.log"].Known[0].Head.Length = -1 },
		"places":   func(s *state) { s.Files["/var/log/mail.log"].Places = make([]place, 100) },
		"cursor":   func(s *state) { s.Journal.Cursor = "--file=/etc/shadow\n" },
		"none":     func(s *state) { s.Journal.Cursor = "" },
	} {
		s := sampleState()
		change(s)
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseState(b); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}

// A state that is taken can be kept again, and looked for in any file.
func FuzzState(f *testing.F) {
	good, err := json.Marshal(sampleState())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"version":1,"files":{"/a":{"places":[{"offset":9223372036854775807}]}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseState(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseState(again); err != nil {
			t.Fatalf("%q becomes %q: %v", b, again, err)
		}
		_ = s.where()
		for _, l := range s.Files {
			for _, p := range l.Places {
				p.Head.on(strings.NewReader("x"), 0)
				p.Before.on(strings.NewReader("x"), p.Offset-int64(p.Before.Length))
			}
		}
	})
}

// However a chunk is cut, its lines come out whole, once and in order.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\r\n\n\x00\x00c\nd"), uint8(3))
	f.Add([]byte("\x00\x00\x00\n\x00x\x00y\n"), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		var want []string
		for text := range strings.SplitAfterSeq(string(b), "\n") {
			if text, whole := strings.CutSuffix(text, "\n"); whole {
				if text = strings.TrimSuffix(strings.TrimLeft(text, "\x00"), "\r"); text != "" && len(text) <= maxLine {
					want = append(want, text)
				}
			}
		}
		var got []string
		var tl tail
		from := 0
		for to := 0; to < len(b); {
			to = min(to+int(size)+1, len(b))
			from += tl.lines(b[from:to], func(line []byte, _, _ int) bool { got = append(got, string(line)); return true }, func() {})
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("%q are the lines of %q, want %q", got, b, want)
		}
	})
}

func TestNamesOfOlderParts(t *testing.T) {
	for name, want := range map[string]bool{
		"mail.log": false, "mail.log.1": true, "mail.log.10": true, "mail.log.2.gz": true, "mail.log-20261122": true,
		"mail.log-20261122.xz": true, "mail-20261122.log": true, "mail.1.log": true, "mail.log.2026-11-22T10:00:00": true,
		"mail.log.bak": false, "mail.log.1.swp": false, "mail.log.": false, "mail.err": false, "mail.log1x": false,
		"maillog.1": false, "xmail.log.1": false, "mail.log.old": false, ".mail.log.1": false,
	} {
		if got := olderName("mail.log", name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if !olderName("mail-2026-11-26.txt", "mail-2026-11-25.txt") || olderName("mail-2026.txt", "maillog-2026.txt") {
		t.Error("dates in the name")
	}
}

func TestConfigCheck(t *testing.T) {
	for _, c := range []struct {
		change func(c *Config)
		want   string // the beginning of the one problem; "": none
	}{
		{func(c *Config) {}, ""},
		{func(c *Config) { c.Files, c.Services = nil, nil }, ""},
		{func(c *Config) { c.Services = nil }, "services: is empty, but files"},
		{func(c *Config) {
			c.Files, c.Services, c.Journal.Enabled = nil, nil, true
			c.Journal.Units = []string{"a.service"}
		}, "services: is empty"},
		{func(c *Config) { c.Services = []string{"submission"} }, `services[0]: "submission" belongs to smtp`},
		{func(c *Config) { c.Services = []string{"imap", "lmtp"} }, `services[1]: "lmtp" is not known`},
		{func(c *Config) { c.Services = []string{"imap", "imap"} }, "services[1]: "},
		{func(c *Config) { c.Files = []string{"mail.log"} }, "files[0]: "},
		{func(c *Config) { c.Files = []string{"/var/log/../mail.log"} }, "files[0]: "},
		{func(c *Config) { c.Files = []string{"/var/log/mail.log*"} }, "files[0]: "},
		{func(c *Config) { c.Files = []string{"/var/log/mail.log.1.gz"} }, "files[0]: "},
		{func(c *Config) { c.Files = []string{"/a", "/a"} }, "files[1]: "},
		{func(c *Config) { c.Files = []string{"/a\nb"} }, "files[0]: "},
		{func(c *Config) {
			c.Files = nil
			for i := range maxFiles + 1 {
				c.Files = append(c.Files, "/var/log/mail"+strconv.Itoa(i))
			}
		}, "files: has 33"},
		{func(c *Config) { c.Since = -1 }, "since: "},
		{func(c *Config) { c.Since = maxSince + 1 }, "since: "},
		{func(c *Config) { c.Timezone = "Europe/Berlin" }, ""},
		{func(c *Config) { c.Timezone = "Mars/North" }, "timezone: "},
		{func(c *Config) { c.Timezone = "../../etc/passwd" }, "timezone: "},
		{func(c *Config) { c.DovecotLines = "all" }, "dovecot_lines: "},
		{func(c *Config) { c.Journal.Enabled = true }, "journal.units: "},
		{func(c *Config) { c.Journal.Units = []string{"postfix"} }, "journal.units[0]: "},
		{func(c *Config) { c.Journal.Units = []string{"post fix.service"} }, "journal.units[0]: "},
		{func(c *Config) { c.Journal.Units = []string{"postfix@-.service"} }, ""},
		{func(c *Config) { c.Journal.Identifiers = []string{"a b"} }, "journal.identifiers[0]: "},
		{func(c *Config) { c.Journal.Directory = "journal" }, "journal.directory: "},
	} {
		cfg := testConfig("/var/log/mail.log")
		c.change(&cfg)
		var got []string
		cfg.Check(func(key, text string) { got = append(got, key+": "+text) })
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.want)) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
