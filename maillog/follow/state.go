package follow

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// stateFile is the file in the state directory that has the places.
const stateFile = "maillog.json"

// The bounds of a state file, so that a garbled one does no harm.
const (
	stateVersion = 1
	maxState     = 16 << 20
	maxCursor    = 1024
)

// state is what is kept over a restart: for each log, by its path, and for the
// journal how far it has been read.
type state struct {
	Version int                 `json:"version"`
	Files   map[string]*fileLog `json:"files"`
	Journal *journalLog         `json:"journal,omitempty"`
}

// fileLog is what is kept of a log.
type fileLog struct {
	Saved  time.Time `json:"saved"`
	Latest time.Time `json:"latest"` // the time of the newest attempt
	Places []place   `json:"places"` // of the files that are read, the oldest first
	Looked time.Time `json:"looked"` // when Known was made
	Known  []sibling `json:"known"`  // what lay beside the log then
}

// journalLog is what is kept of the journal.
type journalLog struct {
	Cursor string    `json:"cursor"`
	Latest time.Time `json:"latest"`
}

// errNoState says that there is no state file.
var errNoState = errors.New("there is no state yet")

// loadState reads the state file of a directory.
func loadState(dir string) (*state, error) {
	f, err := os.Open(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoState
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return nil, err
	}
	return parseState(b)
}

// parseState reads a state, and wants it to be one that this program wrote.
func parseState(b []byte) (*state, error) {
	if len(b) > maxState {
		return nil, fmt.Errorf("more than %d bytes", maxState)
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("version %d, and this program writes %d", s.Version, stateVersion)
	}
	for path, f := range s.Files {
		if f == nil || !filepath.IsAbs(path) {
			return nil, fmt.Errorf("files: %q is no path with something kept of it", path)
		}
		if err := f.check(); err != nil {
			return nil, fmt.Errorf("files: %q: %w", path, err)
		}
	}
	if j := s.Journal; j != nil && !isCursor(j.Cursor) {
		return nil, errors.New("journal: the cursor is none")
	}
	return &s, nil
}

func (f *fileLog) check() error {
	if len(f.Places) > maxOld+1 || len(f.Known) > maxBeside+maxOld {
		return errors.New("too many places or files")
	}
	for _, p := range f.Places {
		want := int(min(p.Offset, printSize))
		if p.Offset < 0 || p.Head.Length != want || p.Before.Length != want {
			return errors.New("a place is none")
		}
	}
	for _, k := range f.Known {
		if k.Head.Length < 0 || k.Head.Length > printSize {
			return errors.New("a file beside it is none")
		}
	}
	return nil
}

// isCursor tells whether s is what journalctl may be given as a cursor.
func isCursor(s string) bool {
	return s != "" && len(s) <= maxCursor && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// where tells in short how far everything has been read.
func (s *state) where() string {
	var all []string
	for path, f := range s.Files {
		all = append(all, path)
		for _, p := range f.Places {
			all[len(all)-1] += fmt.Sprint(" ", p.fileID, p.Offset)
		}
	}
	slices.Sort(all)
	if s.Journal != nil {
		all = append(all, s.Journal.Cursor)
	}
	return strings.Join(all, "\n")
}

// save replaces the state file of a directory. When it returns nil, the state is
// on the disk; a crash leaves the old or the new one.
func (s *state) save(dir string) (err error) {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, stateFile+".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), filepath.Join(dir, stateFile)); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// setAside renames a state file that cannot be read, and tells where to.
func setAside(dir string, now time.Time) (string, error) {
	aside := filepath.Join(dir, stateFile+now.UTC().Format(".bad-20060102T150405"))
	return aside, os.Rename(filepath.Join(dir, stateFile), aside)
}
