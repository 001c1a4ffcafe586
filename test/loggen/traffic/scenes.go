package traffic

import (
	"fmt"
	"net/netip"
	"time"
)

// guesser is a client that guesses without a pause, at one account or many.
type guesser struct {
	addr    netip.Addr
	account string // "": another one each time
}

// favourites are accounts that everybody guesses at.
var favourites = []string{"info", "admin", "test", "sales", "office", "postmaster", "contact", "support", "webmaster", "scan"}

const domain = "example.org"

// populate makes up who there is. Guessers are in 203.0.0.0/8 and 2001:db8::/32,
// the botnet in 45.0.0.0/8, people in 198.51.100.0/24.
func (g *generator) populate() {
	for i := range 300 {
		g.people = append(g.people, fmt.Sprintf("user%d@%s", i, domain))
		g.homes = append(g.homes, netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}))
	}
	for i := range g.Guessers {
		x := guesser{addr: netip.AddrFrom4([4]byte{203, byte(i >> 8), byte(i), byte(1 + g.rand.IntN(250))})}
		if g.IPv6 && i%10 == 9 {
			x.addr = netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, byte(i >> 8), byte(i), 15: byte(1 + g.rand.IntN(250))})
		}
		if g.rand.IntN(3) > 0 {
			x.account = favourites[g.rand.IntN(len(favourites))] + "@" + domain
		}
		g.guessers = append(g.guessers, x)
	}
	for range g.Botnet {
		g.bots = append(g.bots, netip.AddrFrom4([4]byte{45, byte(g.rand.IntN(256)), byte(g.rand.IntN(256)), byte(1 + g.rand.IntN(250))}))
	}
}

// scene begins one of the things that happen, as often as on a server that is
// guessed at: half of what it logs is about guessers.
func (g *generator) scene() {
	g.pid = 1000 + (g.pid-999)%30000
	switch n := g.rand.IntN(100); {
	case n < 40:
		// A few do most of it.
		i := int(float64(len(g.guessers)) * g.rand.Float64() * g.rand.Float64() * g.rand.Float64())
		x := g.guessers[i]
		if g.Dovecot && i%7 == 3 {
			g.guessAtDovecot(x)
		} else {
			g.guess(x.addr, g.target(x))
		}
	case n < 50:
		g.guess(g.bots[g.rand.IntN(len(g.bots))], favourites[0]+"@"+domain)
	case n < 75:
		g.incoming()
	case n < 90 && g.Dovecot:
		g.fetch(g.rand.IntN(len(g.people)))
	default:
		g.submit(g.rand.IntN(len(g.people)))
	}
}

func (g *generator) target(x guesser) string {
	if x.account != "" {
		return x.account
	}
	if g.rand.IntN(2) == 0 {
		return favourites[g.rand.IntN(len(favourites))] + "@" + domain
	}
	return fmt.Sprintf("name%d@%s", g.rand.IntN(2000), domain)
}

// after is a moment after the present.
func (g *generator) after(ms int) time.Time {
	return g.now.Add(time.Duration(ms+g.rand.IntN(200)) * time.Millisecond)
}

// guess is what Postfix 3.7 logs of a wrong password.
func (g *generator) guess(from netip.Addr, account string) {
	pid, host := g.pid, "unknown"
	if from.Is4() && from.As4()[3]%3 == 0 {
		b := from.As4()
		host = fmt.Sprintf("%d-%d-%d-%d.dyn.example.net", b[0], b[1], b[2], b[3])
	}
	g.say(line{at: g.after(0)}, "postfix/submission/smtpd[%d]: connect from %s[%s]", pid, host, from)
	g.say(line{at: g.after(800), failed: from}, "postfix/submission/smtpd[%d]: warning: %s[%s]: SASL LOGIN authentication failed: (reason unavailable), sasl_username=%s",
		pid, host, from, account)
	g.say(line{at: g.after(1100)}, "postfix/submission/smtpd[%d]: lost connection after AUTH from %s[%s]", pid, host, from)
	g.say(line{at: g.after(1300)}, "postfix/submission/smtpd[%d]: disconnect from %s[%s] ehlo=1 auth=0/1 commands=1/2", pid, host, from)
}

// guessAtDovecot is what Dovecot 2.3 logs of a connection with wrong passwords.
func (g *generator) guessAtDovecot(x guesser) {
	n := 1 + g.rand.IntN(3)
	g.say(line{at: g.after(1000), dovecot: x.addr, count: n},
		"dovecot: imap-login: Disconnected: Connection closed (auth failed, %d attempts in %d secs): user=<%s>, method=PLAIN, rip=%s, lip=192.0.2.1, TLS, session=<%08x>",
		n, 2*n, g.target(x), x.addr, g.rand.Uint32())
}

// incoming is a mail from elsewhere.
func (g *generator) incoming() {
	pid, id := g.pid, g.queueID()
	from := netip.AddrFrom4([4]byte{192, 0, 2, byte(g.rand.IntN(256))})
	to := g.people[g.rand.IntN(len(g.people))]
	g.say(line{at: g.after(0)}, "postfix/smtpd[%d]: connect from mail%d.example.com[%s]", pid, from.As4()[3], from)
	g.say(line{at: g.after(300)}, "postfix/smtpd[%d]: %s: client=mail%d.example.com[%s]", pid, id, from.As4()[3], from)
	g.deliver(id, fmt.Sprintf("news%d@example.com", from.As4()[3]), to)
	g.say(line{at: g.after(1200)}, "postfix/smtpd[%d]: disconnect from mail%d.example.com[%s] ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7", pid, from.As4()[3], from)
}

// submit is a mail that somebody sends, who now and then mistypes the password
// before.
func (g *generator) submit(who int) {
	pid, id, from := g.pid, g.queueID(), g.homes[who]
	g.say(line{at: g.after(0)}, "postfix/submission/smtpd[%d]: connect from home%d.example.net[%s]", pid, who, from)
	if g.rand.IntN(200) == 0 {
		g.say(line{at: g.after(300), failed: from}, "postfix/submission/smtpd[%d]: warning: home%d.example.net[%s]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=%s",
			pid, who, from, g.people[who])
	}
	g.say(line{at: g.after(900), success: true}, "postfix/submission/smtpd[%d]: %s: client=home%d.example.net[%s], sasl_method=PLAIN, sasl_username=%s", pid, id, who, from, g.people[who])
	g.deliver(id, g.people[who], fmt.Sprintf("friend%d@example.com", g.rand.IntN(1000)))
	g.say(line{at: g.after(1900)}, "postfix/submission/smtpd[%d]: disconnect from home%d.example.net[%s] ehlo=2 starttls=1 auth=1 mail=1 rcpt=1 data=1 quit=1 commands=8", pid, who, from)
}

// deliver is a mail on its way through the queue.
func (g *generator) deliver(id, from, to string) {
	g.say(line{at: g.after(1000)}, "postfix/cleanup[%d]: %s: message-id=<%016x@mail.example.com>", g.pid+1, id, g.rand.Uint64())
	g.say(line{at: g.after(1200)}, "postfix/qmgr[812]: %s: from=<%s>, size=%d, nrcpt=1 (queue active)", id, from, 1000+g.rand.IntN(90000))
	g.say(line{at: g.after(1800)}, "postfix/lmtp[%d]: %s: to=<%s>, relay=mx1.example.org[private/dovecot-lmtp], delay=0.4, delays=0.2/0.01/0.05/0.14, dsn=2.0.0, status=sent (250 2.0.0 <%s> Saved)", g.pid+2, id, to, to)
	g.say(line{at: g.after(2000)}, "postfix/qmgr[812]: %s: removed", id)
}

// fetch is somebody looking for mail by IMAP.
func (g *generator) fetch(who int) {
	session := g.rand.Uint32()
	g.say(line{at: g.after(0), success: true}, "dovecot: imap-login: Login: user=<%s>, method=PLAIN, rip=%s, lip=192.0.2.1, mpid=%d, TLS, session=<%08x>",
		g.people[who], g.homes[who], g.pid, session)
	g.say(line{at: g.after(4000)}, "dovecot: imap(%s)<%d><%08x>: Disconnected: Logged out in=%d out=%d deleted=0 expunged=0 trashed=0 hdr_count=0 hdr_bytes=0 body_count=0 body_bytes=0",
		g.people[who], g.pid, session, 100+g.rand.IntN(900), 1000+g.rand.IntN(90000))
}

func (g *generator) queueID() string {
	return fmt.Sprintf("%010X", g.rand.Uint64N(1<<40))
}
