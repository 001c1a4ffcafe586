package admin

import (
	"encoding/json"
	"iter"
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/eventlog/archive"
)

// auditOctets bounds the changes on disk.
const auditOctets = 8 << 20

// AuditStream is what the archive keeps of the changes over restarts. It is called
// once, before Serve, and whoever asks for changes waits for the archive from then
// on.
func (c *Control) AuditStream() archive.Stream {
	u := &c.auditor
	u.restored = make(chan struct{})
	return archive.Stream{
		Name: "audit", Max: auditSize, Octets: auditOctets, Keep: auditKeep, Restore: u.restore, Take: u.take,
	}
}

func (u *auditor) restore(lines iter.Seq[archive.Line], _ time.Time) {
	defer close(u.restored)
	var all []api.Audited
	for line := range lines {
		var a api.Audited
		if json.Unmarshal(line.Text, &a) == nil {
			all = append(all, printable(a))
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.latest = append(all, u.latest...)
	u.bound()
}

// bound lets go of the oldest changes. Whoever calls holds mu.
func (u *auditor) bound() {
	if n := len(u.latest) - auditSize; n > 0 {
		u.latest = append(u.latest[:0:0], u.latest[n:]...)
	}
}

func (u *auditor) take(n int) []archive.Line {
	u.mu.Lock()
	n = min(n, u.unsaved)
	from := len(u.latest) - u.unsaved
	latest := append([]api.Audited(nil), u.latest[from:from+n]...)
	u.unsaved -= n
	u.mu.Unlock()
	lines := make([]archive.Line, 0, n)
	for i := range latest {
		// It is made of texts, numbers and times: it always has a form.
		if text, err := json.Marshal(&latest[i]); err == nil {
			lines = append(lines, archive.Line{At: latest[i].At, Text: text})
		}
	}
	return lines
}
