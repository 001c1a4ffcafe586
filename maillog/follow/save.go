package follow

import (
	"go.uber.org/zap"
)

// save writes the places, if they are others than at the last time.
func (f *Follower) save() {
	if f.dir == "" {
		return
	}
	f.saving.Lock()
	defer f.saving.Unlock()
	s := f.gather()
	where := s.where()
	if where == f.saved {
		return
	}
	text := ""
	if err := s.save(f.dir); err != nil {
		f.metrics.stateErrors.Inc()
		text = err.Error()
	} else {
		f.saved = where
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if text != "" && f.unsaved == "" {
		f.log.Error("the places in the logs cannot be saved: after a crash lines would be read again", zap.String("error", text))
	}
	f.unsaved = text
}

// gather returns what is to be kept.
func (f *Follower) gather() *state {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &state{Version: stateVersion, Files: map[string]*fileLog{}}
	for path, src := range f.sources {
		if l := src.remembered(); l != nil {
			s.Files[path] = l
		}
	}
	if f.journal != nil {
		s.Journal = f.journal.remembered()
	}
	return s
}
