// Notices says which libraries are linked into saslguard and under which licences they
// are: as a list, or with -texts as the file that goes with the program, since most of
// these licences ask for that. It reads them where the go command keeps the modules.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	texts := flag.Bool("texts", false, "with the texts of the licences and the versions")
	flag.Parse()
	if err := write(os.Stdout, *texts); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

// library is a module that is linked into the program.
type library struct {
	path, version string
	licence       string // its name in https://spdx.org/licenses/
	texts         []string
}

func write(w io.Writer, texts bool) error {
	all, err := libraries()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "What is linked into saslguard, and its licence (https://spdx.org/licenses/).\n\n")
	for _, l := range all {
		name := l.path
		if texts {
			name += " " + l.version
		}
		fmt.Fprintf(&b, "%-60s %s\n", name, l.licence)
	}
	for _, l := range all {
		if texts {
			fmt.Fprintf(&b, "\n%s\n%s %s\n\n%s\n", strings.Repeat("=", 80), l.path, l.version, strings.Join(l.texts, "\n"))
		}
	}
	_, err = w.Write(b.Bytes())
	return err
}

// libraries are those of all platforms that saslguard is built for, with Go's own.
func libraries() ([]library, error) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}", "./cmd/saslguard")
	cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%v: %w", cmd, err)
	}
	lines := strings.Fields(strings.ReplaceAll(string(out), "\t", "|"))
	slices.Sort(lines)
	goroot, err := exec.Command("go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return nil, err
	}
	dir, goVersion, _ := strings.Cut(strings.TrimSpace(string(goroot)), "\n")
	lines = append(slices.Compact(lines), "std|"+goVersion+"|"+dir)
	var all []library
	for _, line := range lines {
		f := strings.Split(line, "|")
		l := library{path: f[0], version: f[1]}
		if err := l.read(f[2]); err != nil {
			return nil, fmt.Errorf("%s: %w", l.path, err)
		}
		all = append(all, l)
	}
	return all, nil
}

// read reads the texts in the directory of a module.
func (l *library) read(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var names []string
	for _, f := range files {
		upper := strings.ToUpper(f.Name())
		isText := strings.HasPrefix(upper, "LICEN") || strings.HasPrefix(upper, "COPYING") || strings.HasPrefix(upper, "NOTICE")
		if !isText || f.IsDir() || strings.HasSuffix(upper, ".GO") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return err
		}
		l.texts = append(l.texts, strings.TrimSpace(string(text))+"\n")
		if !strings.HasPrefix(upper, "NOTICE") {
			names = append(names, classify(string(text))...)
		}
	}
	if len(names) == 0 {
		return errors.New("no licence is found that is known here: read what it has, and teach classify")
	}
	slices.Sort(names)
	l.licence = strings.Join(slices.Compact(names), " AND ")
	return nil
}

// classify names the licences in a text by words that only they have.
func classify(text string) (names []string) {
	text = strings.Join(strings.Fields(text), " ")
	has := func(words string) bool { return strings.Contains(text, words) }
	if has("Apache License Version 2.0") || has("Apache License, Version 2.0") {
		names = append(names, "Apache-2.0")
	}
	if has("Permission is hereby granted, free of charge, to any person obtaining a copy") {
		names = append(names, "MIT")
	}
	if has("Redistributions in binary form must reproduce") {
		if has("Neither the name") || has("may not be used to endorse") || has("names of its contributors") {
			names = append(names, "BSD-3-Clause")
		} else {
			names = append(names, "BSD-2-Clause")
		}
	}
	if has("Permission to use, copy, modify, and/or distribute this software for any purpose") || has("Permission to use, copy, modify, and distribute this software for any purpose") {
		names = append(names, "ISC")
	}
	if has("Mozilla Public License Version 2.0") || has("Mozilla Public License, version 2.0") {
		names = append(names, "MPL-2.0")
	}
	if has("This is free and unencumbered software released into the public domain") {
		names = append(names, "Unlicense")
	}
	if has("CC0 1.0 Universal") {
		names = append(names, "CC0-1.0")
	}
	return names
}
