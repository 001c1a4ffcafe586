package firewall

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// RateLimit is a token bucket, as the kernel has it: Burst at once, then Count in
// Per.
type RateLimit struct {
	Count uint64        // 1 to 1,000,000
	Per   time.Duration // a second, a minute, an hour or a day
	Burst int           // 1 to 1,000,000
}

const maxRate = 1_000_000

// ParseRate reads a rate such as 20/minute or 2/hour. Its burst is its number.
func ParseRate(s string) (RateLimit, error) {
	number, unit, _ := strings.Cut(s, "/")
	n, err := strconv.ParseUint(number, 10, 64)
	per := map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[unit]
	if err != nil || per == 0 || n < 1 || n > maxRate || strconv.FormatUint(n, 10) != number {
		return RateLimit{}, fmt.Errorf("%s is no rate; allowed is a number from 1 to %d, a / and second, minute, hour or day, such as 20/minute", quote(s), maxRate)
	}
	return RateLimit{Count: n, Per: per, Burst: int(n)}, nil
}

// Full is how long it takes until the whole burst is there again.
func (r RateLimit) Full() time.Duration {
	return time.Duration(float64(r.Per) / float64(r.Count) * float64(r.Burst)).Round(time.Millisecond)
}

// Limit is a LimitConfig made ready for use.
type Limit struct {
	Ports  []uint16
	Rate   RateLimit
	Expiry time.Duration
	Size   int // sources of each family
}

const (
	maxLimits      = 16
	minSize        = 16
	maxSize        = 1 << 24
	defaultSize    = 1 << 16
	minExpiry      = time.Second
	maxExpiry      = 7 * 24 * time.Hour
	longestRefills = maxExpiry
)

// parse reads a limit and calls problem with what is wrong, by keys below it.
func (c *LimitConfig) parse(problem func(key, text string)) Limit {
	l := Limit{Ports: parsePorts(c.Ports, problem), Size: c.Size, Expiry: c.Expiry}
	var err error
	if l.Rate, err = ParseRate(c.Rate); err != nil {
		problem("rate", err.Error())
		return l
	}
	switch {
	case c.Burst < 0 || c.Burst > maxRate:
		problem("burst", fmt.Sprintf("%d is not from 1 to %d, or 0 for the number of the rate", c.Burst, maxRate))
		return l
	case c.Burst > 0:
		l.Rate.Burst = c.Burst
	}
	full := l.Rate.Full()
	if full > longestRefills {
		problem("burst", fmt.Sprintf("%d at %s take %v to be there again; allowed is what takes at most %v", l.Rate.Burst, c.Rate, full, longestRefills))
		return l
	}
	if c.Expiry == 0 {
		l.Expiry = max(full, minExpiry)
	} else if c.Expiry < max(full, minExpiry) || c.Expiry > maxExpiry {
		// A source that is forgotten earlier has its burst again earlier.
		problem("expiry", fmt.Sprintf("%v is not from %v, after which the whole burst is there again, to %v; 0s is the shortest", c.Expiry, max(full, minExpiry), maxExpiry))
	}
	switch {
	case c.Size == 0:
		l.Size = defaultSize
	case c.Size < minSize || c.Size > maxSize:
		problem("size", fmt.Sprintf("%d is not from %d to %d, or 0 for %d", c.Size, minSize, maxSize, defaultSize))
	}
	return l
}

// quote shows a text of a configuration in a message, cut and escaped.
func quote(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strconv.Quote(s)
}
