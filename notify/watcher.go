package notify

import (
	"hash/maphash"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/guard"
)

// watcher is what one goroutine does with what happens: it finds the news, and
// decides which of them are told, and when.
type watcher struct {
	*Notifier
	settings *settings
	detector *detector
	told     remembered[struct{}]
	gate     gate
}

// toldSize bounds how many news are remembered as told, of a generation.
const toldSize = 1 << 14

func newWatcher(n *Notifier, s *settings) *watcher {
	return &watcher{
		Notifier: n, settings: s, detector: newDetector(s),
		told: remembered[struct{}]{life: s.config.Again, size: toldSize},
		gate: gate{every: s.config.Digest, kinds: map[Kind]*window{}},
	}
}

func (w *watcher) reload(s *settings) {
	w.settings = s
	w.detector.configure(s)
	w.told.life, w.gate.every = s.config.Again, s.config.Digest
}

func (w *watcher) event(e *guard.Event) {
	now := w.now()
	if !w.recent(e.At, now) {
		return // a log that is read late, or a report that comes late
	}
	w.detector.find(e, w.offer)
}

// offer takes news that somebody may want to know.
func (w *watcher) offer(n News) {
	now := w.now()
	switch {
	case !slices.Contains(w.settings.config.Events, string(n.Kind)):
		return
	case !w.recent(n.At, now):
		w.metrics.news(n.Kind, resultOld)
		return
	case n.Key != "" && w.again(n, now):
		w.metrics.news(n.Kind, resultRepeated)
		return
	}
	at := w.gate.take(n, now)
	if at == nil {
		w.metrics.news(n.Kind, resultDigest)
		return
	}
	w.metrics.news(n.Kind, resultTold)
	w.hand(digest{news: at})
}

// recent tells whether something that happened at a time is news yet.
func (w *watcher) recent(at, now time.Time) bool {
	age := now.Sub(at)
	return age <= w.settings.config.MaxAge && age >= -w.settings.config.MaxAge
}

// again tells whether the same was told lately, and remembers that it is now.
func (w *watcher) again(n News, now time.Time) bool {
	key := maphash.Comparable(w.detector.seed, struct{ kind, key string }{string(n.Kind), n.Key})
	if _, ok := w.told.get(key, now); ok {
		return true
	}
	w.told.set(key, struct{}{}, now)
	return false
}

func (w *watcher) due() {
	for _, d := range w.gate.due(w.now(), false) {
		w.hand(d)
	}
}

// flush tells what waits for a digest, because there will be none.
func (w *watcher) flush() {
	for _, d := range w.gate.due(w.now(), true) {
		w.hand(d)
	}
}

// hand passes news on to be delivered.
func (w *watcher) hand(d digest) {
	select {
	case w.outgoing <- parcel{d, w.settings}:
	default:
		w.metrics.dropped.Add(float64(len(d.news) + d.more))
		w.log.Warn("news were not told: too many wait to be delivered", zap.Int("news", len(d.news)+d.more))
	}
}
