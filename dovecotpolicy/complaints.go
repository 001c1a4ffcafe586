package dovecotpolicy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// complainEvery is how often one kind of complaint is logged at most. Each of
// them may come with every request, and requests come as fast as guesses.
const complainEvery = 10 * time.Second

// maxQuoted is how many bytes of something foreign a log line shows.
const maxQuoted = 64

// The kinds of complaint beside the reasons of unreadable requests.
const (
	complainUnauthorized = int(malformeds) + iota
	complainPanic
	complainTransport
	complainAccept
	complainOverflow
	complaintKinds
)

// complaints are log lines, one of a kind within complainEvery, that say how
// many were left out.
type complaints struct {
	log   *zap.Logger
	now   func() time.Time
	kinds [complaintKinds]struct {
		next   atomic.Int64 // Unix nanoseconds
		missed atomic.Int64
	}
}

// say logs a complaint if one of its kind is due. fields are only made then.
func (c *complaints) say(kind int, message string, fields func() []zap.Field) {
	k := &c.kinds[kind]
	now := c.now().UnixNano()
	next := k.next.Load()
	if now < next || !k.next.CompareAndSwap(next, now+int64(complainEvery)) {
		k.missed.Add(1)
		return
	}
	all := fields()
	if missed := k.missed.Swap(0); missed > 0 {
		all = append(all, zap.Int64("left_out", missed))
	}
	c.log.Warn(message, all...)
}

// Printf makes complaints the logger of the transport, which comes with two
// addresses and an error, or with words.
func (c *complaints) Printf(format string, args ...any) {
	var failed error
	var peer net.Addr
	for _, arg := range args {
		switch arg := arg.(type) {
		case error:
			failed = arg
		case net.Addr:
			peer = arg // the second one is that of the other side
		}
	}
	if errors.Is(failed, net.ErrClosed) || plainHTTP(failed) {
		return // closed by ourselves, as when we stop; complained of by handleError
	}
	c.say(complainTransport, "HTTP transport", func() []zap.Field {
		if failed == nil || peer == nil {
			return []zap.Field{zap.String("error", unquoted(fmt.Errorf(format, args...)))}
		}
		return []zap.Field{zap.String("error", unquoted(failed)), zap.Stringer("peer", peer)}
	})
}

// plainHTTP tells whether TLS failed because the other side does not speak it,
// but HTTP, as Dovecot does when its URL begins with http://.
func plainHTTP(err error) bool {
	var record tls.RecordHeaderError
	return errors.As(err, &record) && slices.Contains([]string{"POST ", "GET /"}, string(record.RecordHeader[:]))
}

// unquoted is what the transport says of a request, up to where it begins to quote it:
// the credentials are among the headers.
func unquoted(err error) string {
	text, _, quotes := strings.Cut(err.Error(), `"`)
	if quotes {
		text += "…"
	}
	return fit(text, 4*maxQuoted)
}

// fit makes something foreign fit for a log line: printable, and cut. Quotes and
// backslashes stay as they are, since the logger has its own way with them.
func fit(text string, most int) string {
	dots := ""
	if len(text) > most {
		text, dots = text[:most], "…"
	}
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text) + dots
}
