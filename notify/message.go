package notify

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/store"
)

// message is what a receiver is told.
type message struct {
	id    string // the same in every try of a delivery
	title string // one line
	text  string // lines
	at    time.Time
	host  string
	items []item // for those who read JSON
	more  int
}

// item is one of the news in words.
type item struct {
	News
	title   string
	login   string // as it is shown; "": none
	from    string // where the address is from; "": unknown
	command []string
}

// describeTimeout is how long may be asked after the addresses of a message.
const describeTimeout = 5 * time.Second

// compose finds the words for news that are told together.
func (n *Notifier) compose(ctx context.Context, p parcel) message {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	m := message{id: rand.Text(), at: n.now(), host: n.host, more: p.digest.more}
	for _, w := range p.digest.news {
		if n.names.Hashing() {
			w.Account = n.names.Shown(w.Account)
		}
		it := put(w, p.settings.config.HideLogins)
		if n.describe != nil && w.Addr.IsValid() {
			it.from = clean(n.describe(ctx, w.Addr), 200)
		}
		m.items = append(m.items, it)
	}
	m.write()
	return m
}

// put finds the words for one of the news.
func put(w News, hide bool) item {
	it := item{News: w}
	who := "a client"
	if w.Client.IsValid() {
		who = shown(w.Client)
	}
	if w.Account != "" {
		it.login = login(w.Account)
	}
	if hide && w.Account != "" {
		it.login, it.Account = "(hidden)", ""
	}
	switch w.Kind {
	case Ban:
		it.title = "banned " + who
		if w.Entry != nil && w.Entry.Observed {
			it.title = "would ban " + who
		}
		it.command = []string{"saslguard explain " + subject(w.Client), "saslguard unban " + w.Client.String()}
		if !w.Client.IsValid() {
			it.title, it.command = "blocked account "+it.login, explain(w, it.login, hide)
		}
	case Attack:
		it.title = "account " + it.login + " is under attack"
		it.command = explain(w, it.login, hide)
	case Spray:
		it.title = who + " tries passwords on many accounts"
		it.command = []string{"saslguard explain " + subject(w.Client), "saslguard ban " + w.Client.String() + " --for 1d --reason 'password spray'"}
	case Compromised:
		it.title = "account " + it.login + " may be compromised: a login from " + who
		it.command = explain(w, it.login, hide)
		if !hide && it.login == w.Account && !guard.IsHashed(w.Account) {
			it.command = append(it.command, "saslguard forget "+it.login)
		}
		it.command = append(it.command, "saslguard ban "+w.Client.String()+" --for 1d")
	}
	if w.Title != "" {
		it.title = clean(w.Title, 200)
	}
	return it
}

// explain is the command that says more. A login that had to be written otherwise
// than it is cannot be asked about, and the client can.
func explain(w News, shownAs string, hide bool) []string {
	if !hide && shownAs == w.Account {
		return []string{"saslguard explain " + shownAs}
	}
	if w.Client.IsValid() {
		return []string{"saslguard explain " + subject(w.Client)}
	}
	return nil
}

// write puts the items together.
func (m *message) write() {
	var b strings.Builder
	for i := range m.items {
		if i > 0 {
			b.WriteString("\n")
		}
		m.items[i].write(&b)
	}
	if m.more > 0 {
		fmt.Fprintf(&b, "\nand %d more.\n", m.more)
	}
	m.text = b.String()
	m.title = "saslguard on " + clean(m.host, 100) + ": "
	if n := len(m.items) + m.more; n > 1 {
		m.title += fmt.Sprintf("%d times: ", n)
	}
	if len(m.items) > 0 {
		m.title += m.items[0].title
	}
}

func (it *item) write(b *strings.Builder) {
	line := func(label, text string) {
		if text != "" {
			b.WriteString(label + text + "\n")
		}
	}
	title := it.title
	if title != "" {
		title = strings.ToUpper(title[:1]) + title[1:]
	}
	line("", title)
	line("When: ", it.At.UTC().Format(time.RFC3339))
	if it.Kind != Ban && it.Client.IsValid() {
		line("Client: ", shown(it.Client))
	}
	line("From: ", it.from)
	line("Why: ", clean(it.Why, 300))
	if e := it.Entry; e != nil {
		line("Until: ", until(e))
	}
	line("", clean(it.Do, 400))
	for _, c := range it.command {
		line("  ", c)
	}
}

func until(e *store.Entry) string {
	if e.Until.IsZero() {
		return "for good"
	}
	text := e.Until.UTC().Format(time.RFC3339)
	if e.Times > 1 {
		text += fmt.Sprintf(", for the %d. time", e.Times)
	}
	return text
}

// shown is a prefix as people write it: a single address without its length.
func shown(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// subject is what explain takes for a prefix: an address of it.
func subject(p netip.Prefix) string { return p.Addr().String() }
