package replay

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// sayings collects what the guard warns of: that somebody is not banned because his
// address is private, that the password database looks broken. In serve it is in
// the log; here it is a part of the report. It implements zapcore.Core.
type sayings struct {
	mu    sync.Mutex
	list  []string
	known map[string]bool
	more  int
}

// maxSayings bounds what is kept.
const maxSayings = 10

func newSayings() *sayings { return &sayings{known: map[string]bool{}} }

func (s *sayings) logger() *zap.Logger { return zap.New(s) }

// Enabled implements zapcore.Core.
func (s *sayings) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }

// With implements zapcore.Core. The guard adds no fields for good.
func (s *sayings) With([]zapcore.Field) zapcore.Core { return s }

// Check implements zapcore.Core.
func (s *sayings) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !s.Enabled(e.Level) {
		return ce
	}
	return ce.AddCore(e, s)
}

// Write implements zapcore.Core.
func (s *sayings) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if e.Message == wouldBeRefused {
		return nil // the report lists them
	}
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	text := e.Message
	for _, key := range []string{"prefix", "because", "error"} {
		if v, ok := enc.Fields[key]; ok {
			text += fmt.Sprintf(": %v", v)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.known[text]:
	case len(s.list) >= maxSayings:
		s.more++
	default:
		s.known[text] = true
		s.list = append(s.list, text)
	}
	return nil
}

// wouldBeRefused is what the guard says of a login that the report has as a false
// alarm.
const wouldBeRefused = "a login succeeded that would have been refused"

// Sync implements zapcore.Core.
func (s *sayings) Sync() error { return nil }

// texts are the sayings as lines of a report.
func (s *sayings) texts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.list)
	if s.more > 0 {
		list = append(list, fmt.Sprintf("and %d more warnings", s.more))
	}
	for i, t := range list {
		list[i] = strings.ToUpper(t[:1]) + t[1:]
	}
	return list
}
