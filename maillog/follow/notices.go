package follow

import (
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/maillog"
)

const (
	fewUnknown   = 10        // look-alikes of a program, without one that was understood, are worth a warning
	fewMalformed = 100       // lines without an envelope, likewise
	noticeEvery  = time.Hour // the same warning of the same source
	sampleSize   = 400       // bytes of a line that are shown
)

// notices sees to it that somebody is told when a log is read and nothing in it
// is understood: formats drift, and a guard that has silently gone blind looks
// like a quiet night. It belongs to one source.
type notices struct {
	*feed
	unknown   map[string]*look // by program; the parser has few
	malformed look
}

// Notice is that a log is not understood.
type Notice struct {
	Source  string // the file's name, or the journal's
	Program string // whose lines look like failed logins; "": none of its lines is one of a mail log
	Lines   int    // since the last that was understood
}

func (n *notices) tell(x Notice) {
	if n.notice != nil {
		n.notice(x)
	}
}

// look is what has not been understood since the last that was.
type look struct {
	count int
	told  time.Time
}

func (n *notices) see(r maillog.Reading, line []byte) {
	if r.Class == maillog.Malformed {
		if n.worth(&n.malformed, fewMalformed) {
			n.tell(Notice{Source: n.source, Lines: n.malformed.count})
			n.log.Warn("none of the latest lines of the log begins as lines of logs do; is it a mail log?",
				zap.String("source", n.source), zap.Int("lines", n.malformed.count), zap.String("sample", n.names.Foreign(sample(line))))
		}
		return
	}
	n.malformed.count = 0
	switch r.Class {
	case maillog.Unknown:
		n.metrics.unknown.WithLabelValues(programName(r.Kind)).Inc()
		l := n.unknown[r.Kind]
		if l == nil {
			if n.unknown == nil {
				n.unknown = map[string]*look{}
			}
			l = new(look)
			n.unknown[r.Kind] = l
		}
		if n.worth(l, fewUnknown) {
			n.tell(Notice{Source: n.source, Program: programName(r.Kind), Lines: l.count})
			n.log.Warn("lines look like failed logins and are not understood, and no other of this program was: they are not counted; please report the sample",
				zap.String("source", n.source), zap.String("program", programName(r.Kind)), zap.Int("lines", l.count), zap.String("sample", n.names.Foreign(sample(line))))
		}
	case maillog.Login:
		if l := n.unknown[r.Kind]; l != nil {
			l.count = 0
		}
	}
}

// worth counts, and tells whether it is time for a warning.
func (n *notices) worth(l *look, few int) bool {
	l.count++
	now := n.now()
	if l.count < few || !l.told.IsZero() && now.Sub(l.told) < noticeEvery {
		return false
	}
	l.told = now
	return true
}

func programName(kind string) string {
	if kind == "" {
		return "other"
	}
	return kind
}

// sample is a line as it may stand in another log: cut, and every character of
// it that is not plain escaped.
func sample(line []byte) string {
	more := ""
	if len(line) > sampleSize {
		more = "…+" + strconv.Itoa(len(line)-sampleSize)
		line = line[:sampleSize]
	}
	q := strconv.QuoteToASCII(string(line))
	return q[1:len(q)-1] + more
}
