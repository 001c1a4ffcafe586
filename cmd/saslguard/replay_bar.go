package main

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// bar shows how far reading has come, if a person looks on and it takes a while.
type bar struct {
	mu    sync.Mutex
	out   *os.File // nil: nobody looks on
	began time.Time
	bar   *progressbar.ProgressBar // nil: not shown yet
}

// patience is how long nothing is shown.
const patience = 500 * time.Millisecond

func newBar(stderr io.Writer) *bar {
	b := &bar{began: time.Now()}
	if f, ok := stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		b.out = f
	}
	return b
}

// tell takes note of how many bytes of how many were read; 0 is not known.
func (b *bar) tell(read, total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.out == nil || time.Since(b.began) < patience {
		return
	}
	if b.bar == nil {
		if total == 0 {
			total = -1 // it only shows that something goes on
		}
		b.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(b.out), progressbar.OptionSetDescription("reading"),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30))
	}
	_ = b.bar.Set64(read) // a bar that cannot be drawn stops nothing
}

// end takes the bar away.
func (b *bar) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bar != nil {
		_ = b.bar.Finish()
	}
	b.out = nil
}
