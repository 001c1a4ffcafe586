package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/saslguard/saslguard/admin/api"
)

// Without Redis, what happened and who changed what outlive a killed process, and a
// file that is torn keeps nothing from starting.
func TestEventsOutliveKill9(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.write(t, "")
	file := filepath.Join(p.state, "events.db")
	killed := p.start(t)
	o := operator{T: t, bin: p.bin, socket: p.control}
	o.must("ban", "203.0.113.66", "--reason", "survives")
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		b, err := os.ReadFile(file)
		if err == nil && bytes.Contains(b, []byte(`"kind":"ban"`)) && bytes.Contains(b, []byte(`"action":"ban"`)) {
			time.Sleep(2 * time.Second) // the page that makes it count is written last
			break
		}
		if time.Now().After(end) {
			t.Fatalf("nothing is written to %s: %v", file, err)
		}
	}
	if err := killed.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-killed.Exited()

	again := p.start(t)
	var x api.Explanation
	fromJSON(t, o.must("explain", "203.0.113.66", "-o", "json"), &x)
	if len(x.Events.Events) != 1 || x.Events.Events[0].Reason != "survives" {
		t.Errorf("after kill -9 it is explained by %+v", x.Events)
	}
	o.must("unban", "203.0.113.66")
	var a api.Audit
	fromJSON(t, o.must("audit", "-o", "json"), &a)
	if len(a.Changes) != 2 || a.Changes[0].Reason != "survives" || a.Changes[1].Action != "unban" || a.Note != "" {
		t.Errorf("after kill -9 the changes are %+v", a)
	}
	if out := o.must("status"); !strings.Contains(out, file) {
		t.Errorf("status does not say where events are kept:\n%s", out)
	}
	stopped(t, again)

	if err := os.Truncate(file, 5000); err != nil {
		t.Fatal(err)
	}
	torn := p.start(t)
	if _, err := torn.WaitLine("the file of events cannot be used: set aside", 10*time.Second); err != nil {
		t.Error(err)
	}
	fromJSON(t, o.must("audit", "-o", "json"), &a)
	if len(a.Changes) != 0 {
		t.Errorf("of a torn file: %+v", a)
	}
	stopped(t, torn)

	// Whoever wants no events kept has none on the next start.
	p.write(t, "events: {keep: 0s}\n")
	off := p.start(t)
	o.must("ban", "203.0.113.67")
	stopped(t, off)
	p.write(t, "")
	p.start(t)
	fromJSON(t, o.must("explain", "203.0.113.67", "-o", "json"), &x)
	if len(x.Events.Events) != 0 || x.Client == "" {
		t.Errorf("with events.keep 0 there was kept %+v", x.Events)
	}
}
