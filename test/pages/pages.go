// Package pages reads the documents of the project, so that tests can hold them to the
// program, and run what they print with real servers.
package pages

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Root is the top of the repository, as seen from a package in test.
const Root = "../.."

// Page is a document: its path below Root, its text, and the text without blocks.
type Page struct {
	Path, Text, Prose string
	Blocks            []Block
}

// Block is a fenced or indented part of a page.
type Block struct {
	Heading string   // that it stands under
	Lines   []string // without what they are indented by
	Line    int      // of the first, from 1
	indent  int
}

// All reads every document that is for people.
func All(t testing.TB) []Page {
	t.Helper()
	var all []Page
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		paths, err := filepath.Glob(filepath.Join(Root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Rel(Root, path)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, parse(name, string(text)))
		}
	}
	for _, needed := range []string{"README.md", "docs/install.md", "docs/configuration.md", "SECURITY.md"} {
		if !slices.ContainsFunc(all, func(p Page) bool { return p.Path == needed }) {
			t.Errorf("%s is missing", needed)
		}
	}
	return all
}

// Under returns the blocks of a page that stand under a heading, as they are printed.
func Under(t testing.TB, path, heading string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root, path))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, b := range parse(path, string(text)).Blocks {
		if b.Heading == heading {
			found = append(found, strings.TrimSpace(strings.Join(b.Lines, "\n"))+"\n")
		}
	}
	if len(found) == 0 {
		t.Fatalf("%s prints nothing under %q", path, heading)
	}
	return found
}

// parse finds the blocks of a page.
func parse(path, text string) Page {
	p := Page{Path: path, Text: text}
	heading := ""
	var now *Block
	fenced, blank := false, true
	end := func() {
		if now != nil {
			p.Blocks = append(p.Blocks, *now)
			now = nil
		}
	}
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "```"):
			end()
			if fenced = !fenced; fenced {
				now = &Block{Heading: heading, Line: i + 2}
			}
		case fenced:
			now.Lines = append(now.Lines, now.unindented(line))
		case now != nil && (trimmed == "" || strings.HasPrefix(line, "    ")),
			now == nil && blank && trimmed != "" && strings.HasPrefix(line, "    ") && !regexp.MustCompile(`^\s*(-|\d+\.) `).MatchString(line):
			if now == nil {
				now = &Block{Heading: heading, Line: i + 1}
			}
			now.Lines = append(now.Lines, now.unindented(line))
		default:
			end()
			if title := strings.TrimLeft(line, "#"); title != line {
				heading = strings.TrimSpace(title)
			}
			p.Prose += line + "\n"
		}
		blank = trimmed == ""
	}
	end()
	return p
}

// unindented is a line of the block without what its first line is indented by.
func (b *Block) unindented(line string) string {
	bare := strings.TrimLeft(line, " ")
	if len(b.Lines) == 0 {
		b.indent = len(line) - len(bare)
	}
	return line[min(b.indent, len(line)-len(bare)):]
}

// Spans are the texts between backquotes, each on one line.
func (p *Page) Spans() []string {
	var all []string
	for _, found := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(p.Prose, -1) {
		all = append(all, strings.Join(strings.Fields(found[1]), " "))
	}
	return all
}

// Before is a block up to the first line that is meant.
func (b *Block) Before(stop func(line string) bool) string {
	lines := b.Lines
	if i := slices.IndexFunc(lines, stop); i >= 0 {
		lines = lines[:i]
	}
	return strings.TrimSpace(strings.Join(lines, "\n")) + "\n"
}
