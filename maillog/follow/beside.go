package follow

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxBeside bounds the files beside a log that are looked at: the newest.
const maxBeside = 500

// besideFile is an open file that by its name is an older part of a log.
type besideFile struct {
	name string
	file *os.File
	info fs.FileInfo
}

func (f *besideFile) close() { _ = f.file.Close() } // it was only read

// beside opens the older parts of the log that are not compressed, those written
// first at first. What cannot be opened is left out: it may be gone already.
func (s *source) beside() ([]*besideFile, error) {
	var files []*besideFile
	for _, where := range s.places() {
		dir, base := filepath.Split(where)
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !olderName(base, e.Name()) || compressed(e.Name()) {
				continue
			}
			f := openBeside(dir + e.Name())
			switch {
			case f == nil:
			case slices.ContainsFunc(files, func(o *besideFile) bool { return idOf(o.info) == idOf(f.info) }):
				f.close() // renamed while the directory was read
			default:
				files = append(files, f)
			}
		}
	}
	slices.SortFunc(files, func(a, b *besideFile) int {
		return cmp.Or(a.info.ModTime().Compare(b.info.ModTime()), -strings.Compare(a.name, b.name))
	})
	for len(files) > maxBeside {
		files[0].close()
		files = files[1:]
	}
	return files, nil
}

func openBeside(name string) *besideFile {
	f, err := openRegular(name)
	if err != nil {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil
	}
	return &besideFile{name, f, info}
}

// places are the path of the log and, where that is a symbolic link, what it
// leads to.
func (s *source) places() []string {
	target, err := filepath.EvalSymlinks(s.path)
	if err != nil || target == s.path {
		return []string{s.path}
	}
	return []string{s.path, target}
}

// olderName tells whether name is how a rotation calls an older part of base:
// mail.log.1, mail.log-20261122, mail-20261122.log, or where base has a date in
// it, the same with another one. It may be compressed.
func olderName(base, name string) bool {
	if name == base {
		return false
	}
	for _, ending := range compressions() {
		name = strings.TrimSuffix(name, ending)
	}
	if digitsAside(base) == digitsAside(name) && strings.ContainsAny(base, "0123456789") {
		return true
	}
	ext := filepath.Ext(base)
	stem := strings.TrimSuffix(base, ext)
	middle, ok := strings.CutPrefix(name, base)
	if !ok && ext != "" {
		if middle, ok = strings.CutPrefix(name, stem); ok {
			middle, ok = strings.CutSuffix(middle, ext)
		}
	}
	return ok && strings.ContainsAny(middle, "0123456789") && strings.Trim(middle, "0123456789-._:TZ+") == ""
}

// digitsAside replaces each run of digits by one #.
func digitsAside(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch digit := s[i] >= '0' && s[i] <= '9'; {
		case !digit:
			b.WriteByte(s[i])
		case i == 0 || s[i-1] < '0' || s[i-1] > '9':
			b.WriteByte('#')
		}
	}
	return b.String()
}

func compressions() []string { return []string{".gz", ".xz", ".zst", ".bz2", ".lz4", ".Z"} }

func compressed(name string) bool {
	return slices.ContainsFunc(compressions(), func(ending string) bool { return strings.HasSuffix(name, ending) })
}
