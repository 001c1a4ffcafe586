package maillog

import "strings"

// program is how the lines of a program are read. The zero program is none that
// is known.
type program struct {
	name    string // a copy that stays
	kind    string
	service string
	read    func(p *Parser, message string) (Class, string) // nil: none of its lines is of interest
}

// maxPrograms bounds the names of programs that are kept. Whoever may write to the
// log can name himself as he likes.
const maxPrograms = 1024

// program finds out once how lines of the program with this name are read.
func (p *Parser) program(name string) program {
	prog, known := p.programs[name]
	if !known {
		prog = lookUp(name)
		prog.name = strings.Clone(name)
		if len(p.programs) >= maxPrograms {
			clear(p.programs)
		}
		p.programs[prog.name] = prog
	}
	return prog
}

func lookUp(name string) program {
	if strings.HasPrefix(name, "postfix") {
		return postfixProgram(name)
	}
	switch name {
	case "dovecot":
		return program{kind: "dovecot", read: (*Parser).dovecot}
	case "":
		return program{}
	}
	for _, part := range []string{"mail", "imap", "pop3", "smtp", "sieve", "sasl", "dovecot"} {
		if strings.Contains(name, part) {
			return program{kind: "mail", read: (*Parser).anyMail}
		}
	}
	return program{}
}

// anyMail reads lines of programs that have to do with mail by their name, and are
// not known here.
func (p *Parser) anyMail(m string) (Class, string) {
	return p.unknown(m)
}
