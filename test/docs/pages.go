// Package docs holds the documents to the program: every command, flag, key, metric,
// file and link that they name is there, every example of a configuration is one that
// loads, and the commands are run, over a saslguard that the test starts where they
// need one.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the top of the repository.
const root = "../.."

// page is a document: its path below root, its text, and the text without blocks.
type page struct {
	path, text, prose string
	blocks            []block
}

// block is a fenced or indented part of a page.
type block struct {
	lines []string // without what they are indented by
	line  int      // of the first, from 1
}

// pages reads every document that is for people.
func pages(t *testing.T) []page {
	t.Helper()
	var all []page
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, parse(name, string(text)))
		}
	}
	for _, needed := range []string{"README.md", "docs/install.md", "docs/configuration.md", "SECURITY.md"} {
		if !slices.ContainsFunc(all, func(p page) bool { return p.path == needed }) {
			t.Errorf("%s is missing", needed)
		}
	}
	return all
}

// parse finds the blocks of a page.
func parse(path, text string) page {
	p := page{path: path, text: text}
	var now *block
	fenced, blank := false, true
	end := func() {
		if now != nil {
			p.blocks = append(p.blocks, *now)
			now = nil
		}
	}
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "```"):
			end()
			if fenced = !fenced; fenced {
				now = &block{line: i + 2}
			}
		case fenced:
			now.lines = append(now.lines, strings.TrimPrefix(line, indentation(now, line)))
		case now != nil && (trimmed == "" || strings.HasPrefix(line, "    ")),
			now == nil && blank && trimmed != "" && strings.HasPrefix(line, "    ") && !regexp.MustCompile(`^\s*(-|\d+\.) `).MatchString(line):
			if now == nil {
				now = &block{line: i + 1}
			}
			now.lines = append(now.lines, strings.TrimPrefix(line, indentation(now, line)))
		default:
			end()
			p.prose += line + "\n"
		}
		blank = trimmed == ""
	}
	end()
	return p
}

// indentation is by how much the lines of a block are indented: as its first one.
func indentation(b *block, line string) string {
	if len(b.lines) == 0 {
		return line[:len(line)-len(strings.TrimLeft(line, " "))]
	}
	return "    "
}

// spans are the texts between backquotes, each on one line.
func (p *page) spans() []string {
	var all []string
	for _, found := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(p.prose, -1) {
		all = append(all, strings.Join(strings.Fields(found[1]), " "))
	}
	return all
}

// before is a block up to the first line that is meant.
func (b *block) before(stop func(line string) bool) string {
	lines := b.lines
	if i := slices.IndexFunc(lines, stop); i >= 0 {
		lines = lines[:i]
	}
	return strings.TrimSpace(strings.Join(lines, "\n")) + "\n"
}
