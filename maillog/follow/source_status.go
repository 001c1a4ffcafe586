package follow

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"go.uber.org/zap"
)

// remember makes what is to be kept over a restart from where the tails are.
func (s *source) remember() {
	m := fileLog{Saved: s.now(), Latest: s.feed.latest, Looked: s.looked, Known: s.known}
	for _, t := range s.tails() {
		m.Places = append(m.Places, t.place())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory = &m
}

// remembered is what is to be kept over a restart, or nil.
func (s *source) remembered() *fileLog {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory
}

// setMissing says that there is nothing at the path, unless it is for the moment
// that a rotation takes.
func (s *source) setMissing(err error) {
	if s.missing.IsZero() {
		s.missing = s.now()
	}
	if !errors.Is(err, fs.ErrNotExist) || s.now().Sub(s.missing) >= rotationTakes {
		s.setTrouble(err)
	}
}

func (s *source) setTrouble(err error) {
	text := ""
	var pe *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		text = "is not there"
	case errors.As(err, &pe):
		text = "cannot be read: " + pe.Err.Error()
	case err != nil:
		text = "cannot be read: " + err.Error()
	}
	s.mu.Lock()
	before := s.trouble
	s.trouble = text
	s.mu.Unlock()
	switch {
	case text == before:
	case text == "":
		s.log.Info("the log can be read again", zap.String("source", s.path))
	default:
		s.log.Warn("the log cannot be followed; it is tried again all the time", zap.String("source", s.path), zap.String("problem", text))
	}
}

func (s *source) setBehind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.caughtUp.IsZero() {
		s.caughtUp = s.now()
	}
}

func (s *source) setCaughtUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.caughtUp = time.Time{}
}

// status says how the source gets on: how long it has been behind, and what is
// wrong, or "".
func (s *source) status() (behind time.Duration, trouble string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.caughtUp.IsZero() {
		behind = s.now().Sub(s.caughtUp)
	}
	if s.trouble == "" && s.feed.stuck.Load() {
		return behind, s.path + " waits: the store does not answer"
	}
	if s.trouble != "" {
		return behind, fmt.Sprintf("%s %s", s.path, s.trouble)
	}
	return behind, ""
}

// count counts the turns.
func (s *source) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turns++
	return s.turns
}
