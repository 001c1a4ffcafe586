// Package logfile reads whole mail logs, of yesterday and before: files that are
// plain or compressed with gzip, bzip2, xz or zstd, whatever they are called, and
// standard input; in the order of their time, whatever order they were given in.
//
// It needs the same memory for a log of any size. What cannot be read of a log is
// an error that names the log and the place, after everything before it was given.
package logfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/saslguard/saslguard/maillog"
)

// Stdin is the path of standard input.
const Stdin = "-"

// Log is a log that can be read, once.
type Log struct {
	name    string
	first   time.Time // of its first understood line
	changed time.Time
	total   int64
	stream  io.Reader // what can be opened only once; nil: a file
	read    atomic.Int64
	cut     int64
	lines   int64
}

// Name returns the log's path as it was given, or how standard input is called.
func (l *Log) Name() string { return l.name }

// Changed returns when the log was last written to, for maillog.Options.Latest:
// for a file that gzip has kept the time for, that one. It is zero for what has no
// such time, as standard input.
func (l *Log) Changed() time.Time { return l.changed }

// First returns the time of the log's first line that was understood; zero: there
// is none among the first thousand.
func (l *Log) First() time.Time { return l.first }

// Progress returns how many bytes of the log were read, compressed as it is, and
// how many there are; 0 where that is not known. It may be called at any time.
func (l *Log) Progress() (read, total int64) { return l.read.Load(), l.total }

// Count returns how many lines were given, and how many of them were cut since
// they were longer than maillog.MaxLine.
func (l *Log) Count() (lines, cut int64) { return l.lines, l.cut }

// Open finds the logs that paths name and puts them in the order of their first
// lines. A path may be a pattern (path/filepath.Match) or Stdin; a log that is
// named twice is read once. The options are those the lines will be read with;
// their Latest is not used, but each log's own.
//
// It fails for what cannot be opened, for a directory, for a pattern that nothing
// matches, and for what is no text and in no compression that is read here. All
// such mistakes are told at once.
func Open(paths []string, stdin io.Reader, o maillog.Options) ([]*Log, error) {
	var logs []*Log
	var seen []os.FileInfo
	var wrong []error
	for _, path := range paths {
		if path == Stdin {
			if !slices.ContainsFunc(logs, func(l *Log) bool { return l.name == stdinName }) {
				logs = append(logs, &Log{name: stdinName, stream: stdin})
			}
			continue
		}
		names, err := expand(path)
		if err != nil {
			wrong = append(wrong, err)
		}
		for _, name := range names {
			l, info, err := open(name)
			switch {
			case err != nil:
				wrong = append(wrong, err)
			case !slices.ContainsFunc(seen, func(i os.FileInfo) bool { return os.SameFile(i, info) }):
				logs, seen = append(logs, l), append(seen, info)
			}
		}
	}
	if len(wrong) == 0 {
		for _, l := range logs {
			if err := l.look(o); err != nil {
				wrong = append(wrong, err)
			}
		}
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	slices.SortStableFunc(logs, func(a, b *Log) int { return a.begin().Compare(b.begin()) })
	return logs, nil
}

const stdinName = "standard input"

// begin is the time by which logs are put in order. What has no line that was
// understood comes where it was last changed, and last if that is not known.
func (l *Log) begin() time.Time {
	switch {
	case !l.first.IsZero():
		return l.first
	case !l.changed.IsZero():
		return l.changed
	default:
		return time.Unix(1<<40, 0)
	}
}

// expand returns the files that a path or pattern names. A file that has the
// pattern's own name is meant rather than what the pattern matches.
func expand(path string) ([]string, error) {
	if !strings.ContainsAny(path, "*?[") {
		return []string{path}, nil
	}
	if _, err := os.Lstat(path); err == nil {
		return []string{path}, nil
	}
	names, err := filepath.Glob(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: the pattern is not well-formed: a [ needs its ]", path)
	case len(names) == 0:
		return nil, fmt.Errorf("%s: no file matches this pattern", path)
	}
	return names, nil
}

// open makes sure that the file can be read.
func open(name string) (*Log, os.FileInfo, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err // names the file
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s: is a directory; name its files, such as %s", name, filepath.Join(name, "mail.log*"))
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	l := &Log{name: name}
	if !info.Mode().IsRegular() { // a pipe, such as a shell's <(…)
		l.stream = f
		return l, info, nil
	}
	l.changed, l.total = info.ModTime(), info.Size()
	return l, info, f.Close()
}
