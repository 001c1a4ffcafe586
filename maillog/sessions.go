package maillog

import (
	"net/netip"
	"time"

	"github.com/saslguard/saslguard/score"
)

// session is what earlier lines have said of a connection: its client, or, while
// that is not known, the failures in it.
type session struct {
	client  netip.Addr
	at      int64 // of the last line, in Unix seconds
	waiting int32 // failures whose client is not known yet
	told    bool  // a failure was told of
	mech    string
	outcome score.Outcome
}

// sessionKey names a connection as its lines do: by the process or by an id.
type sessionKey struct {
	host string // as it stays, so that a key needs no memory of its own
	pid  int
	id   [24]byte
}

// maxSessions bounds each of the two halves of sessions, and sessionAge how long a
// connection is remembered after its last line: ids of processes come again.
const (
	maxSessions = 4096
	sessionAge  = time.Hour
)

// sessions remembers connections. When the young half is full it becomes the old
// one, so the oldest are forgotten first, and nothing is ever searched through.
type sessions struct {
	young, old map[sessionKey]session
}

// get returns what is remembered of a connection.
func (s *sessions) get(k sessionKey, at time.Time) (session, bool) {
	v, ok := s.young[k]
	if !ok {
		v, ok = s.old[k]
	}
	if age := at.Unix() - v.at; !ok || age > int64(sessionAge/time.Second) || age < -int64(sessionAge/time.Second) {
		return session{}, false
	}
	return v, true
}

// put remembers a connection as it is now.
func (s *sessions) put(k sessionKey, at time.Time, v session) {
	if s.young == nil {
		s.young = map[sessionKey]session{}
	}
	if len(s.young) >= maxSessions {
		s.old, s.young = s.young, s.old
		if s.young == nil {
			s.young = map[sessionKey]session{}
		}
		clear(s.young)
	}
	v.at = at.Unix()
	s.young[k] = v
}

// byProcess is the key of the connection that the line's process serves.
func (p *Parser) byProcess() (k sessionKey, ok bool) {
	k.host, k.pid = p.hostName(p.line.Host), p.line.PID
	return k, k.pid != 0
}

// byID is the key of the connection with this id.
func (p *Parser) byID(id string) (k sessionKey, ok bool) {
	k.host = p.hostName(p.line.Host)
	return k, len(id) <= len(k.id) && copy(k.id[:], id) == len(id)
}
