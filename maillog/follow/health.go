package follow

import (
	"fmt"
	"strings"
	"time"
)

// status is how long the log that is most behind has been, and what is wrong.
func (f *Follower) status() (behind time.Duration, troubles []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	add := func(b time.Duration, trouble string) {
		behind = max(behind, b)
		if trouble != "" {
			troubles = append(troubles, trouble)
		}
	}
	for _, path := range f.config.Files {
		if s := f.sources[path]; s != nil {
			add(s.status())
		}
	}
	if f.journal != nil {
		add(f.journal.status())
	}
	if f.unsaved != "" {
		troubles = append(troubles, "the places cannot be saved: "+f.unsaved)
	}
	return behind, troubles
}

// Enabled tells whether there is a log to follow.
func (f *Follower) Enabled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.config.Enabled()
}

// Health tells whether all logs are read as they are written, and if not, why.
func (f *Follower) Health() (ok bool, detail string) {
	behind, troubles := f.status()
	if behind >= behindTooLong {
		troubles = append(troubles, fmt.Sprintf("behind for %v", behind.Round(time.Second)))
	}
	return len(troubles) == 0, strings.Join(troubles, "; ")
}
