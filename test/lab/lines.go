package lab

import (
	"bufio"
	"io"
	"strings"
	"sync"
	"time"
)

// lines collects what a process writes, and wakes who waits for a line.
type lines struct {
	mu      sync.Mutex
	all     []string
	changed chan struct{} // closed and replaced with each line
}

func newLines() *lines { return &lines{changed: make(chan struct{})} }

// read takes lines from r until it ends. A last line without its newline
// counts, since a dying process may leave one.
func (l *lines) read(r io.Reader) {
	br := bufio.NewReader(r)
	for {
		line, err := br.ReadString('\n')
		if line != "" {
			l.add(strings.TrimRight(line, "\r\n"))
		}
		if err != nil {
			return
		}
	}
}

func (l *lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
	close(l.changed)
	l.changed = make(chan struct{})
}

// find looks for substr from line number from on; next is where to look later
// and changed is closed when there is more to see.
func (l *lines) find(substr string, from int) (line string, found bool, next int, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all[from:] {
		if strings.Contains(line, substr) {
			return line, true, 0, nil
		}
	}
	return "", false, len(l.all), l.changed
}

// wait returns the first line with substr, seen already or still to come. It
// gives up at the timeout, or when ended is closed and no line had it.
func (l *lines) wait(substr string, timeout time.Duration, ended <-chan struct{}) (string, bool) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	next := 0
	for {
		line, found, n, changed := l.find(substr, next)
		if found {
			return line, true
		}
		next = n
		select {
		case <-changed:
		case <-timer.C:
			return "", false
		case <-ended:
			line, found, _, _ := l.find(substr, next)
			return line, found
		}
	}
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}
