package dovecotpolicy

import (
	"fmt"
	"strconv"
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

// Printf makes complaints the logger of the transport.
func (c *complaints) Printf(format string, args ...any) {
	c.say(complainTransport, "HTTP transport", func() []zap.Field {
		return []zap.Field{zap.String("error", quoted(fmt.Sprintf(format, args...), 4*maxQuoted))}
	})
}

// quoted makes something foreign fit for a log line: printable ASCII, and cut.
func quoted(text string, most int) string {
	dots := ""
	if len(text) > most {
		text, dots = text[:most], "…"
	}
	q := strconv.QuoteToASCII(text)
	return q[1:len(q)-1] + dots
}
