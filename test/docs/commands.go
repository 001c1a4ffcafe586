// Package docs holds the documents to the program: every command, flag, key, metric,
// file and link that they name is there, every example of a configuration is one that
// loads, and the commands are run, over a saslguard that the test starts where they
// need one.
package docs

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/saslguard/saslguard/test/pages"
)

// command is what saslguard's own help says of one of its commands.
type command struct {
	flags    map[string]bool // with their dashes; true: it takes a value
	children map[string]*command
}

var (
	childLine = regexp.MustCompile(`^  ([a-z][a-z0-9-]*) {2,}`)
	flagLine  = regexp.MustCompile(`^ {2,6}(?:(-\w), )?(--[a-z0-9-]+)( \S+)?(?:  |$)`)
)

// commands asks the program for all commands and flags that there are.
func commands(t *testing.T, bin string, path ...string) *command {
	t.Helper()
	out, err := exec.Command(bin, append(path, "--help")...).Output()
	if err != nil {
		t.Fatalf("saslguard %s --help: %v", strings.Join(path, " "), err)
	}
	c := &command{flags: map[string]bool{}, children: map[string]*command{}}
	section := ""
	for line := range strings.Lines(string(out)) {
		line = strings.TrimRight(line, "\n")
		if line != "" && line[0] != ' ' {
			section = line
		}
		switch {
		case section == "Available Commands:":
			if m := childLine.FindStringSubmatch(line); m != nil && m[1] != "help" && m[1] != "completion" {
				c.children[m[1]] = commands(t, bin, append(slices.Clone(path), m[1])...)
			}
		case strings.HasSuffix(section, "Flags:"):
			if m := flagLine.FindStringSubmatch(line); m != nil {
				c.flags[m[2]], c.flags[m[1]] = m[3] != "", m[3] != ""
			}
		}
	}
	return c
}

// invocation is a command line of saslguard's in a document.
type invocation struct {
	page string
	line int
	args []string
	rest string // what comes after it: a redirection, a pipe
}

var prompt = regexp.MustCompile(`^(?:\$ |# )?(?:sudo (?:-\S+ )*)?(?:\./saslguard|saslguard|go run \./cmd/saslguard)(?: (.*))?$`)

// readInvocation reads a line that begins with the program, or tells that it does not.
func readInvocation(page, line string, number int) (invocation, bool) {
	m := prompt.FindStringSubmatch(strings.TrimSpace(line))
	if m == nil {
		return invocation{}, false
	}
	args, rest := words(m[1])
	return invocation{page, number, args, rest}, true
}

// words splits a command line as a shell does, as far as documents need it. What
// comes after the end of the command is the rest.
func words(s string) (args []string, rest string) {
	word, quote, begun := "", rune(0), false
	for i, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote, begun = r, true
		case r == ' ':
			if begun {
				args, word, begun = append(args, word), "", false
			}
		case !begun && strings.ContainsRune("#|>&;", r):
			return args, s[i:]
		case strings.ContainsRune("|;", r) && i+1 < len(s) && s[i+1] == ' ':
			return append(args, word), s[i:]
		default:
			word, begun = word+string(r), true
		}
	}
	if begun {
		args = append(args, word)
	}
	return args, ""
}

// invocations are those of a page's blocks, and of its prose.
func invocations(p *pages.Page) (run, named []invocation) {
	for _, b := range p.Blocks {
		for i, line := range b.Lines {
			if c, ok := readInvocation(p.Path, line, b.Line+i); ok {
				run = append(run, c)
			}
		}
	}
	for _, span := range p.Spans() {
		if c, ok := readInvocation(p.Path, span, 0); ok {
			named = append(named, c)
		}
	}
	return run, named
}

// placeholder tells whether an argument stands for something.
func placeholder(arg string) bool {
	return strings.ContainsAny(arg, "…<>") || regexp.MustCompile(`^[A-Z]+(=[A-Z]+)?$`).MatchString(arg)
}

// check says what of a command line is not there.
func (c *command) check(args []string) (path []string, wrong string) {
	at := c
	for i := 0; i < len(args); i++ {
		arg := args[i]
		name, _, joined := strings.Cut(arg, "=")
		switch {
		case arg == "--help" || arg == "-h" || arg == "--version":
		case strings.HasPrefix(arg, "-") && arg != "-":
			takes, ok := at.flags[name]
			if !ok {
				return path, arg
			}
			if takes && !joined {
				i++
			}
		case len(at.children) > 0 && !placeholder(arg) && arg != "help":
			for one := range strings.SplitSeq(arg, "|") { // such as status|pause
				if at.children[one] == nil {
					return path, one
				}
			}
			child := at.children[arg]
			if child == nil {
				return path, ""
			}
			at, path = child, append(path, arg)
		}
	}
	return path, ""
}
