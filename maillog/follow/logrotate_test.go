package follow

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The real logrotate, as distributions set it up.
func TestLogrotate(t *testing.T) {
	bin := "/usr/sbin/logrotate"
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("%v (Debian package logrotate)", err)
	}
	for name, options := range map[string]string{
		"Debian's":            "rotate 4\ncreate 0644\nmissingok\nnotifempty\ncompress\ndelaycompress",
		"compressed at once":  "rotate 4\ncreate 0644\ncompress",
		"dates":               "rotate 4\ncreate 0644\ndateext\ndateformat -%Y%m%d-%s",
		"nocreate":            "rotate 4\nnocreate",
		"copytruncate":        "rotate 4\ncopytruncate",
		"copytruncate, dates": "rotate 4\ncopytruncate\ndateext\ndateformat -%Y%m%d-%s\nextension .log",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			conf := filepath.Join(w.state, "logrotate.conf")
			w.ok(os.WriteFile(conf, []byte(fmt.Sprintf("%s {\nsize 1\n%s\n}\n", w.log, options)), 0o644))
			rotate := func() {
				t.Helper()
				if out, err := exec.Command(bin, "--force", "--state", filepath.Join(w.state, "logrotate.state"), conf).CombinedOutput(); err != nil {
					t.Fatalf("logrotate: %v\n%s", err, out)
				}
			}
			w.write(w.log, line(1_000_000))
			w.start()
			// Each time with lines that have not been read yet.
			dated := strings.Contains(options, "dateext")
			for range 3 {
				w.write(w.log, w.next(2000))
				if rotate(); dated {
					time.Sleep(time.Second) // or the next would be called the same
				}
				w.write(w.log, w.next(10))
				if strings.Contains(options, "\ncompress") {
					w.complete() // what comes and is compressed between two looks is gone
				}
			}
			w.complete()
			// And once while nobody reads: here what is compressed at once is lost,
			// and that is said.
			w.stop()
			w.write(w.log, w.next(10))
			if rotate(); name == "compressed at once" {
				w.written -= 10
				w.start()
				w.eventually("it is said", func() bool { return w.said("is compressed or deleted") })
				w.once()
				return
			}
			w.write(w.log, w.next(10))
			w.start()
			w.complete()
			if w.metric("lost_places_total", "") != 0 {
				t.Error("it says that something is missing")
			}
		})
	}
}
