package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// What stands before and after the table in a document.
const (
	beginMark = "<!-- bench: what follows is written by the bench -->\n"
	endMark   = "<!-- bench: end -->\n"
)

// intoDocument replaces what stands between the markers, and the chart.
func (b *bench) intoDocument(r *results) error {
	text, err := os.ReadFile(b.document)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), beginMark)
	_, after, ended := strings.Cut(rest, endMark)
	if !found || !ended {
		return fmt.Errorf("%s has no markers %q and %q", b.document, strings.TrimSpace(beginMark), strings.TrimSpace(endMark))
	}
	if err := os.WriteFile(b.document, []byte(before+beginMark+"\n"+r.markdown()+"\n"+endMark+after), 0o644); err != nil {
		return err
	}
	if len(r.Curves) == 0 {
		return nil
	}
	return os.WriteFile(filepath.Join(filepath.Dir(b.document), "performance.svg"), []byte(chart(r.Curves)), 0o644)
}

// machineLine says when and on what was measured.
func (b *bench) machineLine() string {
	model, memory := "an unknown processor", ""
	if fs, err := procfs.NewDefaultFS(); err == nil {
		if cpus, err := fs.CPUInfo(); err == nil && len(cpus) > 0 && cpus[0].ModelName != "" {
			model = cpus[0].ModelName
		}
		if m, err := fs.Meminfo(); err == nil && m.MemTotal != nil {
			memory = fmt.Sprintf(", %d GB", *m.MemTotal>>20)
		}
	}
	kernel := ""
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		kernel = ", Linux " + unix.ByteSliceToString(name.Release[:])
	}
	return fmt.Sprintf("%s; %d processors (%s)%s%s; %s. Medians of %d rounds of %v, least and most in brackets.",
		b.began.UTC().Format("2006-01-02 15:04 UTC"), runtime.NumCPU(), model, memory, kernel, runtime.Version(), b.rounds, b.duration)
}
