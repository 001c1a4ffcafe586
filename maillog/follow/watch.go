package follow

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

// watch wakes a source when something changes at its path. It only saves
// waiting: whatever it misses, as on a network file system, is found by looking
// every now and then.
type watch struct {
	path    string
	inotify *fsnotify.Watcher        // nil: the system gives none
	names   atomic.Pointer[[]string] // with which the names of the log and its older parts begin
	updated time.Time
	changed chan struct{}
	pumped  chan struct{}
}

func newWatch(path string, log *zap.Logger) *watch {
	w := &watch{path: path, changed: make(chan struct{}, 1), pumped: make(chan struct{})}
	var err error
	if w.inotify, err = fsnotify.NewWatcher(); err != nil {
		log.Warn("the system does not tell of changes to the log (fs.inotify.max_user_instances?); it is looked at every now and then",
			zap.String("source", path), zap.Error(err))
		close(w.pumped)
		return w
	}
	go w.pump()
	return w
}

// pump passes events on until the watcher is closed, but for those of other files
// in the same directory. What they say does not matter: a look at the path tells
// all.
func (w *watch) pump() {
	defer close(w.pumped)
	for {
		select {
		case e, ok := <-w.inotify.Events:
			if !ok {
				return
			}
			if e.Op == fsnotify.Write && !w.ours(filepath.Base(e.Name)) {
				continue
			}
		case _, ok := <-w.inotify.Errors: // too many events: as good as one
			if !ok {
				return
			}
		}
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

func (w *watch) ours(name string) bool {
	names := w.names.Load()
	return names == nil || slices.ContainsFunc(*names, func(begin string) bool { return strings.HasPrefix(name, begin) })
}

// update watches the directories in which the log is now. They may have been
// made since the last time.
func (w *watch) update() {
	if w.inotify == nil || time.Since(w.updated) < updateEvery {
		return
	}
	w.updated = time.Now()
	want, names := []string{filepath.Dir(w.path)}, []string{stem(w.path)}
	if target, err := filepath.EvalSymlinks(w.path); err == nil && target != w.path {
		want, names = append(want, filepath.Dir(target)), append(names, stem(target))
	}
	w.names.Store(&names)
	watched := w.inotify.WatchList()
	for _, dir := range want {
		if !slices.Contains(watched, dir) {
			_ = w.inotify.Add(dir) // not there yet, or no more watches: it is looked at all the same
		}
	}
	for _, dir := range watched {
		if !slices.Contains(want, dir) {
			_ = w.inotify.Remove(dir) // it may be gone
		}
	}
}

// updateEvery is how often it is looked whether the directories are others.
const updateEvery = 500 * time.Millisecond

// stem is the name of a file without its ending.
func stem(path string) string {
	base := filepath.Base(path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// wait returns when something has changed, the time is up, or ctx ends.
func (w *watch) wait(ctx context.Context, most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-w.changed:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (w *watch) close() {
	if w.inotify != nil {
		_ = w.inotify.Close() // nothing is lost with it
	}
	<-w.pumped
}
