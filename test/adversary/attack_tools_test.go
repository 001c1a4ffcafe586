package adversary

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
	"github.com/saslguard/saslguard/test/netns"
)

// The ports of the world in which the tools find the servers.
const (
	imapPort = 143
	pop3Port = 110
	smtpPort = 587
)

// wordList is a list of 50,000 passwords in the order of their frequency, of ncrack's.
const wordList = "/usr/share/ncrack/top50000.pwd"

// tool is a program that guesses.
type tool struct {
	name    string
	options string // hydra's or ncrack's
	service string
	port    int
}

// The tools guess at one account each. hydra keeps its connections, ncrack makes new
// ones.
var tools = []tool{
	{"hydra, 16 connections", "-t 16", "imap", imapPort},
	{"hydra, one connection", "-t 1", "imap", imapPort},
	{"hydra, 16 connections", "-t 16", "smtp", smtpPort},
	{"hydra, 16 connections", "-t 16", "pop3", pop3Port},
	{"ncrack, 20 connections", "CL=20,cr=3", "pop3", pop3Port},
	{"ncrack, 20 connections", "CL=20,cr=3", "imap", imapPort},
}

func (x tool) String() string { return x.name + ", " + strings.ToUpper(x.service) }

// command has the tool guess at a login of a server.
func (x tool) command(server, login, words string) string {
	if strings.HasPrefix(x.name, "ncrack") {
		return fmt.Sprintf("ncrack --user %s -P %s %s://%s:%d,%s", login, words, x.service, server, x.port, x.options)
	}
	return fmt.Sprintf("hydra -I %s -w 8 -W 1 -l %s -P %s -s %d %s %s", x.options, login, words, x.port, server, x.service)
}

// Debian's tools, with a real list of passwords, from addresses in a network
// namespace.
func TestRealTools(t *testing.T) {
	t.Parallel()
	s := newSite(t, plan{})
	w := newWeb(t, s.hosts[0])
	for i, tool := range tools {
		if !*long && i%2 == 1 {
			continue
		}
		t.Run(tool.String(), func(t *testing.T) {
			t.Parallel()
			s, client := s.in(t), toolClient(i)
			began := time.Now()
			words := w.run(t, tool, client, user(i))
			r := row{
				Scenario: tool.String(), Guesses: words, Verified: s.verified(ofClient(client)), Banned: s.bannedAfter(began, client),
			}
			if tool.options == "-t 1" {
				s.atMost(r, 10) // its time may be over before
			} else {
				s.exactly(r, 10)
			}
		})
	}
}

// The same where nobody is in their way, or Debian's fail2ban with the same threshold:
// with Dovecot as it is with saslguard, and with its own penalty, which is its default.
func TestRealToolsWithoutSaslguard(t *testing.T) {
	if !*long {
		t.Skip("compared in the long form only")
	}
	const penalty = "service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0600\n  }\n}\n"
	for _, by := range []struct{ guard, dovecot string }{
		{withNothing, ""},
		{withNothing + ", Dovecot's penalty", penalty},
		{withFail2ban, ""},
		{withFail2ban + ", Dovecot's penalty", penalty},
	} {
		t.Run(by.guard, func(t *testing.T) {
			t.Parallel()
			// The lab's log has what auth_verbose = yes writes, which fail2ban reads at
			// once; by default it would wait for the end of a connection.
			s := newSite(t, plan{unguarded: true, dovecot: by.dovecot})
			w := newWeb(t, s.hosts[0])
			var jail *lab.Fail2ban
			if strings.HasPrefix(by.guard, withFail2ban) {
				jail = w.fail2ban(t, s.hosts[0])
			}
			for i, tool := range tools {
				t.Run(tool.String(), func(t *testing.T) {
					t.Parallel()
					s, client := s.in(t), toolClient(i)
					banned := whenBanned(jail, client)
					r := row{Half: attackers, Guard: by.guard, Scenario: tool.String(), Guesses: w.run(t, tool, client, user(i))}
					r.Verified, r.Banned = s.verified(ofClient(client)), banned()
					add(t, r)
				})
			}
		})
	}
}

// toolClient is the address of a tool.
func toolClient(i int) string { return fmt.Sprintf("203.0.113.%d", 21+i) }

// fail2ban watches a host's logs. Whom it bans, the firewall of the world rejects.
func (w *web) fail2ban(t *testing.T, h *host) *lab.Fail2ban {
	t.Helper()
	w.server.NFT(fmt.Sprintf(`table inet fail2ban {
		set banned { type ipv4_addr; }
		chain in { type filter hook input priority -1; ip saddr @banned tcp dport { %d, %d, %d } reject; }
	}`, imapPort, pop3Port, smtpPort))
	return lab.StartFail2ban(t, lab.Jail{
		MaxRetry: 10, FindTime: 10 * time.Minute, BanTime: time.Hour, Logs: map[string]string{"postfix": h.postfix.LogPath(), "dovecot": h.dovecot.LogPath()},
		Ban: "/usr/bin/nsenter --net=" + w.server.Path + " /usr/sbin/nft add element inet fail2ban banned '{ <ip> }'",
	})
}

// whenBanned returns what tells how long after now a client was banned; 0, if it was
// not while its tool ran.
func whenBanned(jail *lab.Fail2ban, client string) func() time.Duration {
	if jail == nil {
		return func() time.Duration { return 0 }
	}
	began, after := time.Now(), make(chan time.Duration, 2)
	for _, name := range []string{"postfix", "dovecot"} {
		go func() {
			if err := jail.WaitBanned(name, client, toolTime+5*time.Second); err == nil {
				after <- time.Since(began)
			}
		}()
	}
	return func() time.Duration {
		select {
		case first := <-after:
			return first
		case <-time.After(time.Until(began.Add(toolTime + 6*time.Second))):
			return 0
		}
	}
}

// toolTime is how long a tool may guess in the long form.
const toolTime = 45 * time.Second

// web is a world of attackers, and one in which a host's servers are reached on
// their usual ports.
type web struct{ server, client *netns.World }

func newWeb(t *testing.T, h *host) *web {
	t.Helper()
	lab.Require(t, lab.NeedNamespaces, lab.NeedGuessers)
	server, client := netns.Pair(t)
	lab.StartRelay(t, server, imapPort, h.dovecot.IMAPProxy)
	lab.StartRelay(t, server, pop3Port, h.dovecot.POP3Proxy)
	lab.StartRelay(t, server, smtpPort, h.postfix.SubmissionProxy)
	return &web{server, client}
}

// run has a tool guess from an address until it has tried all words or its time is
// over, and returns how many words it was given.
func (w *web) run(t *testing.T, tool tool, client, login string) int {
	t.Helper()
	dir := t.TempDir()
	list, words := filepath.Join(dir, "words"), commonPasswords(t, login, 200)
	if err := os.WriteFile(list, []byte(strings.Join(words, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// The tools cannot be told their own address: each finds the servers at another
	// one, to which the way begins at its own.
	server := strings.Replace(client, "203.0.113.", "198.19.0.", 1)
	w.server.IP("address add " + server + "/32 dev lo")
	w.client.IP("route add " + server + "/32 via " + netns.Server4 + " src " + client)
	within := 12 * time.Second
	if *long {
		within = toolTime
	}
	out, err := w.client.Try("", "/bin/sh", "-c", fmt.Sprintf("cd %s && exec timeout -k 1 %.0f %s", dir, within.Seconds(), tool.command(server, login, list)))
	t.Logf("%s: %v\n%s", tool, err, out)
	return len(words)
}

// commonPasswords is the beginning of the list.
func commonPasswords(t *testing.T, login string, n int) []string {
	t.Helper()
	text, err := os.ReadFile(wordList)
	if err != nil {
		t.Fatal(err)
	}
	return lab.DifferentHashes(nonce, login, right, n, func(yield func(string) bool) {
		for line := range strings.Lines(string(text)) {
			if word := strings.TrimSpace(line); word != "" && !strings.HasPrefix(word, "#!") && !yield(word) {
				return
			}
		}
	})
}
