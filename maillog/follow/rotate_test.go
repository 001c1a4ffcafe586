package follow

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func (w *world) rename(from, to string) { w.Helper(); w.ok(os.Rename(from, to)) }

// copyTruncate does what logrotate's copytruncate does.
func (w *world) copyTruncate(to string) {
	w.Helper()
	in, err := os.Open(w.log)
	w.ok(err)
	defer in.Close()
	out, err := os.Create(to)
	w.ok(err)
	_, err = io.Copy(out, in)
	w.ok(err)
	w.ok(out.Close())
	w.ok(os.Truncate(w.log, 0))
}

// The first time, what a log holds already is not replayed as if it were now.
func TestItBeginsAtTheEnd(t *testing.T) {
	w := newWorld(t)
	w.write(w.log, line(1_000_000)+"the beginning of a line, ")
	w.start()
	w.write(w.log, "and its end"+line(2_000_000)+w.next(3))
	w.complete()
	w.restart()
	w.write(w.log, w.next(3))
	w.complete()
}

// rotations are what may happen to a log, whether it is followed then or not.
func rotations() map[string]func(w *world) {
	return map[string]func(w *world){
		"rename and create": func(w *world) {
			w.rename(w.log, w.log+".1")
			w.write(w.log, w.next(3))
		},
		"a line is finished after the rename": func(w *world) {
			text := w.next(2)
			w.write(w.log, text[:len(text)-20])
			w.rename(w.log, w.log+".1")
			w.write(w.log, w.next(2))
			time.Sleep(50 * time.Millisecond)
			w.write(w.log+".1", text[len(text)-20:])
		},
		"twice in a row": func(w *world) {
			for i := range 5 {
				for n := 5; n > 0; n-- {
					_ = os.Rename(w.log+"."+string(rune('0'+n)), w.log+"."+string(rune('1'+n)))
				}
				w.rename(w.log, w.log+".1")
				w.write(w.log, w.next(2+i))
			}
		},
		"copied and truncated": func(w *world) {
			w.copyTruncate(w.log + ".1")
			w.write(w.log, w.next(1))
		},
		"copied and truncated before it was read": func(w *world) {
			w.write(w.log, w.next(5))
			w.copyTruncate(w.log + ".1")
			w.write(w.log, w.next(1))
		},
		"copied and truncated twice in a row": func(w *world) {
			for range 3 {
				_ = os.Rename(w.log+".2", w.log+".3") // not there yet
				_ = os.Rename(w.log+".1", w.log+".2")
				w.write(w.log, w.next(500))
				w.copyTruncate(w.log + ".1")
				w.write(w.log, w.next(1))
			}
		},
		"a copy is made beside it": func(w *world) {
			text, err := os.ReadFile(w.log)
			w.ok(err)
			w.write(w.log+".2026", string(text))
			w.rename(w.log, w.log+".1")
			w.write(w.log, w.next(2))
		},
	}
}

// liveRotations are what may happen to one while it is followed: they wait until
// it has been read.
func liveRotations() map[string]func(w *world) {
	return map[string]func(w *world){
		"read on between the copy and its truncation": func(w *world) {
			text, err := os.ReadFile(w.log)
			w.ok(err)
			w.write(w.log+".1", string(text))
			w.write(w.log, w.next(3))
			w.complete()
			w.ok(os.Truncate(w.log, 0))
			w.write(w.log, w.next(3))
		},
		"rename, and created late": func(w *world) {
			w.rename(w.log, w.log+".1")
			w.complete()
			w.write(w.log, w.next(3))
		},
		"the old file is written to after the new one": func(w *world) {
			w.rename(w.log, w.log+".1")
			w.write(w.log, w.next(3))
			w.complete()
			w.write(w.log+".1", w.next(3))
			w.complete()
			w.write(w.log, w.next(3))
		},
		"deleted and made anew": func(w *world) {
			w.write(w.log, w.next(2))
			w.complete()
			w.ok(os.Remove(w.log))
			w.write(w.log, w.next(3))
		},
		"truncated, and longer than before when it is looked at": func(w *world) {
			w.write(w.log, w.next(5))
			w.complete()
			w.copyTruncate(w.log + ".1")
			w.write(w.log, w.next(500))
		},
		"truncated under a writer that keeps its offset": func(w *world) {
			f, err := os.OpenFile(w.log, os.O_WRONLY, 0)
			w.ok(err)
			defer f.Close()
			_, err = f.Seek(0, io.SeekEnd)
			w.ok(err)
			_, err = f.WriteString(w.next(2000))
			w.ok(err)
			w.complete()
			w.ok(os.Truncate(w.log, 0))
			_, err = f.WriteString(w.next(3)) // behind 280 kB of NULs
			w.ok(err)
			w.complete()
			w.ok(os.Truncate(w.log, 0))
			_, err = f.Seek(5<<30, io.SeekStart) // and behind 5 GB
			w.ok(err)
			_, err = f.WriteString(w.next(3))
			w.ok(err)
		},
		"another file at the end of a symbolic link": func(w *world) {
			a, b := filepath.Join(w.dir, "2026-11-25.txt"), filepath.Join(w.dir, "sub", "2026-11-26.txt")
			w.ok(os.Mkdir(filepath.Join(w.dir, "sub"), 0o755))
			w.rename(w.log, a)
			w.ok(os.Symlink(a, w.log))
			w.write(w.log, w.next(3))
			w.complete()
			w.write(b, w.next(3))
			w.ok(os.Symlink(b, w.log+".new"))
			w.rename(w.log+".new", w.log)
			w.write(b, w.next(3))
			w.write(a, w.next(1))
		},
		"given its name back": func(w *world) {
			w.rename(w.log, w.log+".1")
			w.write(w.log, w.next(2))
			w.complete()
			w.rename(w.log, w.log+".2")
			w.rename(w.log+".1", w.log)
			w.write(w.log, w.next(2))
			w.write(w.log+".2", w.next(2))
		},
		"its directory goes and comes back": func(w *world) {
			w.rename(w.dir, w.dir+".old")
			defer os.RemoveAll(w.dir + ".old")
			w.write(filepath.Join(w.dir+".old", "mail.log"), w.next(1))
			w.complete()
			w.ok(os.Mkdir(w.dir, 0o755))
			w.write(w.log, w.next(2))
		},
	}
}

// rotated has a log followed, rotated by a function, followed on, and then again
// over a restart.
func rotated(t *testing.T, rotate func(w *world), down bool) {
	t.Parallel()
	w := newWorld(t)
	w.write(w.log, line(1_000_000))
	w.start()
	w.write(w.log, w.next(20))
	w.complete()
	if down {
		w.stop()
	}
	rotate(w)
	if down {
		w.start()
	}
	w.complete()
	w.write(w.log, w.next(1))
	w.complete()
	w.restart()
	w.write(w.log, w.next(1))
	w.complete()
	if w.metric("lost_places_total", "") != 0 {
		t.Error("it says that something is missing")
	}
}

func TestRotations(t *testing.T) {
	for name, rotate := range rotations() {
		t.Run(name, func(t *testing.T) { rotated(t, rotate, false) })
		t.Run(name+", while nobody reads", func(t *testing.T) { rotated(t, rotate, true) })
	}
	for name, rotate := range liveRotations() {
		t.Run(name, func(t *testing.T) { rotated(t, rotate, false) })
	}
}
