package configs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile bounds a file of the configuration, in octets.
const maxFile = 1 << 20

// files reads the main file, then conf.d/*.yaml beside it.
func (l *loader) files(main string) {
	optional := main == ""
	if optional {
		main = DefaultFile
	}
	if l.file(main, optional) {
		l.sources.file = main
	}
	dropIns := filepath.Join(filepath.Dir(main), "conf.d")
	entries, err := os.ReadDir(dropIns) // in the order of their names
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.reader(dropIns).unreadable(err)
	}
	for _, e := range entries {
		path := filepath.Join(dropIns, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."): // an editor's
		case strings.HasSuffix(e.Name(), ".yaml"):
			if l.file(path, false) {
				l.sources.dropIns++
			}
		case strings.HasSuffix(e.Name(), ".yml"):
			l.warnings = append(l.warnings, Problem{Place: path, Text: "is not read: its name does not end in .yaml"})
		}
	}
}

// file reads a file, and tells whether there was one to read.
func (l *loader) file(path string, optional bool) bool {
	r := l.reader(path)
	f, err := os.Open(path)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		r.unreadable(err)
		return false
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		r.unreadable(err)
		return false
	}
	if len(text) > maxFile {
		r.inline = true
		r.problem(0, "", "is too large; allowed is at most %d KiB", maxFile>>10)
		return false
	}
	r.document(text, l.root)
	l.merge(r)
	if info, err := f.Stat(); err == nil && r.secret != "" && info.Mode().Perm()&0o004 != 0 {
		l.warnings = append(l.warnings, Problem{r.places[r.secret].String(), r.secret, fmt.Sprintf(
			"everybody on this host can read this secret: the file has mode %04o, and wants 0640", info.Mode().Perm())})
	}
	return true
}

// unreadable is a problem with a file as a whole.
func (r *reader) unreadable(err error) {
	r.inline = true
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err // the path is told as the place
	}
	r.problem(0, "", "cannot be read: %s", err)
}
