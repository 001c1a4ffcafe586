package follow

import (
	"strings"
	"time"

	"go.uber.org/zap"
)

func (j *journal) remember(l *journalLog) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.memory = l
}

// remembered is what is to be kept over a restart, or nil.
func (j *journal) remembered() *journalLog {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.memory
}

func (j *journal) setTrouble(text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.trouble = text
}

func (j *journal) setBusy() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.trouble = ""
	if j.busy.IsZero() {
		j.busy = j.now()
	}
}

func (j *journal) setIdle(idle bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if idle {
		j.busy = time.Time{}
	}
}

// status says how the journal gets on: how long it has been behind, and what is
// wrong, or "".
func (j *journal) status() (behind time.Duration, trouble string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.busy.IsZero() {
		behind = j.now().Sub(j.busy)
	}
	if j.trouble == "" && j.feed.stuck.Load() {
		return behind, "the journal waits: the store does not answer"
	}
	if j.trouble != "" {
		return behind, "the journal cannot be followed: " + j.trouble
	}
	return behind, ""
}

// complaints puts what journalctl says on standard error into the log, a few
// lines of it.
type complaints struct {
	log  *zap.Logger
	line []byte
	n    int
	last string
}

// Write never fails.
func (c *complaints) Write(b []byte) (int, error) {
	for _, x := range b {
		if x == '\n' {
			c.flush()
		} else if len(c.line) < sampleSize {
			c.line = append(c.line, x)
		}
	}
	return len(b), nil
}

// flush logs the line that there is.
func (c *complaints) flush() {
	text := strings.TrimSpace(sample(c.line))
	c.line = c.line[:0]
	if text == "" {
		return
	}
	c.last = text
	if c.n++; c.n <= maxComplaint {
		c.log.Warn("journalctl says", zap.String("text", text))
	}
}
