package maillog

import (
	"net/netip"
	"strings"
	"time"
	"unsafe"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
)

// MaxLine bounds a line in bytes. One that is as long has been cut, here or before:
// it is malformed, since what is missing may be what tells the client.
const MaxLine = 64 << 10

// maxCount bounds how many attempts one line can stand for.
const maxCount = 1000

// Options are what a line does not say by itself.
type Options struct {
	// Location is the zone of envelopes that name none; nil is time.Local.
	Location *time.Location

	// Latest is the latest moment from which a line can be, to a day: RFC 3164
	// has no year. For a file it is the time of its last change, and a file that
	// holds more than a year of such lines has all of them in its last one. Zero
	// is the clock, asked anew for each new minute of the log.
	Latest time.Time

	// Now is the clock where Latest is zero; nil is time.Now.
	Now func() time.Time

	// Dovecot is which of the lines that Dovecot writes of one failure counts.
	Dovecot DovecotLines
}

// DovecotLines is a kind of line in which Dovecot's failures are told. Several may
// tell of the same one, so only one kind is counted.
type DovecotLines uint8

// The kinds.
const (
	DovecotLogin DovecotLines = iota // of imap-login and the like, at the end of a connection; always there
	DovecotAuth                      // of auth, for each password, if auth_verbose is on; also those that Postfix has asked for
	DovecotPAM                       // of pam_unix, where no other is logged
)

// Reading is how a line was read.
type Reading struct {
	Class Class
	Kind  string // which mail program, a constant such as "postfix"; "": none that is known
	Line  Line
	Why   string // why a line of a login yields no attempt, a constant; "": it does, or is no login
}

// Parser reads the lines of one log, in order. It keeps little of what it has
// read: some logins, so that they need not be copied again, and which client a
// process of sendmail or OpenSMTPD serves, bounded and forgotten after an hour of the
// log's time. It is not safe for concurrent use.
type Parser struct {
	stamps   stamps
	counted  DovecotLines
	programs programs
	headers  headers
	host     string // the last line's
	unquoted []byte // the message of a line in JSON

	// The line that is being read.
	line     Line
	message  string
	prog     *program // that of a header that is remembered, or nil
	kind     string
	service  string
	times    int // how often the line stands for the same attempt
	attempts int
	yield    func(guard.Attempt)
	last     repeatable
	logins   logins
	sessions sessions
	lastAuth lastAuth

	roundcube bool   // its error log is read here, which tells of every failure
	mailboxes string // which of the programs called imapd it was last; "": not known yet
}

// New returns a parser.
func New(o Options) *Parser {
	if o.Location == nil {
		o.Location = time.Local
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Parser{
		stamps:  stamps{zone: o.Location, latest: o.Latest, now: o.Now},
		counted: o.Dovecot,
	}
}

// Parse reads one line, without its end, and calls yield for each attempt that it
// completes, before it returns: mostly none, seldom more than one. The attempts'
// strings are copies and stay valid; the message of the Reading's Line is good until
// the next call, and only as long as line is not changed.
func (p *Parser) Parse(line []byte, yield func(guard.Attempt)) Reading {
	if len(line) >= MaxLine {
		p.last.forget()
		return Reading{Class: Malformed}
	}
	// Parsers see a view of the line, of which nothing outlives this call but what
	// found copies.
	text := unsafe.String(unsafe.SliceData(line), len(line))
	p.begin(yield)
	if !p.envelope(text, 0) {
		p.last.forget()
		if strings.TrimSpace(text) == "" {
			return Reading{}
		}
		return Reading{Class: Malformed}
	}
	var r Reading
	p.finish(&r)
	return r
}

// begin forgets the line before.
func (p *Parser) begin(yield func(guard.Attempt)) {
	p.line, p.message, p.prog, p.service, p.times, p.attempts, p.yield = Line{}, "", nil, "", 1, 0, yield
}

// finish reads a line whose envelope was understood.
func (p *Parser) finish(r *Reading) {
	p.read(r)
	p.line.Host = p.hostName(p.line.Host)
	p.line.Message = unsafe.Slice(unsafe.StringData(p.message), len(p.message))
	r.Line = p.line
	p.yield = nil
}

// When returns the time of a line, and zero if its envelope is not understood. What
// the line says is not read.
func (p *Parser) When(line []byte) time.Time {
	p.line = Line{}
	if len(line) >= MaxLine || !p.envelope(unsafe.String(unsafe.SliceData(line), len(line)), 0) {
		return time.Time{}
	}
	return p.line.At
}

// maxHost bounds a host's name in bytes (RFC 5424, section 6), and so what sessions
// and readings keep of it.
const maxHost = 255

// hostName returns a copy of a host's name that stays, mostly the one that the line
// before had.
func (p *Parser) hostName(name string) string {
	name = name[:min(len(name), maxHost)]
	if name != p.host {
		p.host = strings.Clone(name)
	}
	return p.host
}

// read reads the message of the line whose envelope was understood. Of r it leaves the
// Line alone.
func (p *Parser) read(r *Reading) {
	r.Class, r.Kind, r.Why = Other, "", ""
	if p.repeated(r) {
		return
	}
	prog := p.prog
	if prog == nil {
		prog = p.programs.of(p.line.Program)
		p.line.Program = prog.name
	}
	if prog.read == nil {
		p.last.forget()
		r.Kind = prog.kind
		return
	}
	p.kind, p.service = prog.kind, prog.service
	if rest, ok := strings.CutPrefix(p.message, "pam_unix("); ok {
		r.Class, r.Why = p.pam(rest)
	} else {
		r.Class, r.Why = prog.read(p, p.message)
	}
	r.Kind = p.kind
	if p.attempts != 1 {
		p.last.forget()
	}
}

// found yields an attempt. The strings are copied here and nowhere else, and of logins
// that come again and again only once.
func (p *Parser) found(client netip.Addr, login, mech string, outcome score.Outcome, count int) {
	if count < 1 {
		count = 1
	}
	p.attempts++
	p.last.host, p.last.kind, p.last.kept = p.line.Host, p.kind, true
	p.last.attempt = guard.Attempt{
		At: p.line.At, Face: guard.Log, Service: p.service, Client: client,
		Login: p.logins.copied(login[:min(len(login), maxLogin)]), Mechanism: mechanism(mech),
		Outcome: outcome, Count: min(min(count, maxCount)*p.times, maxCount),
	}
	p.yield(p.last.attempt)
}

// maxLogin bounds a login in bytes; longer ones are cut, as guard does it too.
const maxLogin = 512

// Why a line of a login yields no attempt.
const (
	whyBackend     = "a broken backend, not the client's failure"
	whyNotVerified = "no password was verified"
	whyAborted     = "the client gave up before a password was verified"
	whyNoAddress   = "the line does not say from where"
	whyElsewhere   = "another line tells of the same attempt"
	whyAmbiguous   = "written so that the client cannot be told for sure"
	whyRefused     = "refused by a policy, the password was not verified"
	whyAuthorized  = "the password was right, the login was not allowed"
	whyLater       = "later lines will say from where"
)
