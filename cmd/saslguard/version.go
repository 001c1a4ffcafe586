package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// What is built, as the release build says it by -ldflags "-X main.version=1.2.3
// -X main.commit=… -X main.date=…". Without, the commit and its date are those that
// go build finds in the repository.
var (
	version = "devel"
	commit  = ""
	date    = ""
)

// commitDigits are as many of a commit as tell it from all others.
const commitDigits = 12

// buildVersion is the version with the commit, where the build knows it.
func buildVersion() string {
	if c, _ := source(); len(c) >= commitDigits {
		return version + " (" + c[:commitDigits] + ")"
	}
	return version
}

// longVersion is buildVersion with the date of the commit, and what it was built by
// and for.
func longVersion() string {
	built := fmt.Sprintf("%s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if _, d := source(); d != "" {
		built = "of " + d + ", " + built
	}
	return buildVersion() + ", " + built
}

// source is the commit that was built and its date (RFC 3339); "" is not known.
func source() (revision, at string) {
	revision, at = commit, date
	info, ok := debug.ReadBuildInfo()
	if !ok || revision != "" {
		return revision, at
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.time":
			at = s.Value
		}
	}
	return revision, at
}
