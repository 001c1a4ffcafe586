package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/maillog"
	"github.com/saslguard/saslguard/replay"
	"github.com/saslguard/saslguard/test/lab"
)

// scene is a client's logins: when, in seconds from the beginning, and whether the
// password was right.
type scene struct {
	client string
	at     []int
	right  map[int]bool
}

func fails(client string, at ...int) scene { return scene{client: client, at: at} }

// every is n times, seconds apart.
func every(n, apart, from int) []int {
	var at []int
	for i := range n {
		at = append(at, from+i*apart)
	}
	return at
}

// forms are the lines of a program for a failed login and for a successful one, of
// a client, and the number of a user.
var forms = map[string]struct{ wrong, right string }{
	"postfix": {
		"postfix/submission/smtpd[%[3]d]: warning: unknown[%[1]s]: SASL LOGIN authentication failed: authentication failure, sasl_username=user%[2]d@example.org",
		"postfix/submission/smtpd[%[3]d]: 4F2A7B1C9D: client=unknown[%[1]s], sasl_method=LOGIN, sasl_username=user%[2]d@example.org",
	},
	"dovecot": {
		"dovecot: imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<user%[2]d@example.org>, method=PLAIN, rip=%[1]s, lip=192.0.2.1, session=<x%[3]d>",
		"dovecot: imap-login: Login: user=<user%[2]d@example.org>, method=PLAIN, rip=%[1]s, lip=192.0.2.1, mpid=%[3]d, session=<x%[3]d>",
	},
	"sendmail": {
		"sm-mta[%[3]d]: 06I02CNi%06[3]d: AUTH failure (LOGIN): authentication failure (-13) SASL(-13): authentication failure: checkpass failed, user=user%[2]d@example.org, relay=mx.example.com [%[1]s]",
		"sm-mta[%[3]d]: 06I02CNi%06[3]d: AUTH=server, relay=mx.example.com [%[1]s], authid=user%[2]d@example.org, mech=LOGIN, bits=0",
	},
}

// own are lines by which fail2ban and replay differ, a second apart, and who bans the
// client for them.
var own = map[string][]struct {
	client, who string
	lines       []string
}{
	"dovecot": {
		// A connection with several failures is one to fail2ban.
		{"198.51.100.3", "replay", slices.Repeat([]string{"dovecot: imap-login: Disconnected: Connection closed (auth failed, 3 attempts in 9 secs): user=<u>, method=PLAIN, rip=198.51.100.3, lip=192.0.2.1, session=<y>"}, 3)},
		// With auth_verbose a failure has two lines, and fail2ban counts both.
		{"198.51.100.4", "fail2ban", slices.Repeat([]string{
			"dovecot: auth: passwd-file(u,198.51.100.4,<y>): Password mismatch",
			"dovecot: imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<u>, method=PLAIN, rip=198.51.100.4, lip=192.0.2.1, session=<y>",
		}, 3)},
		// No password was verified.
		{"198.51.100.5", "fail2ban", slices.Repeat([]string{"dovecot: imap-login: Disconnected: Connection closed (tried to use disallowed plaintext auth): user=<>, rip=198.51.100.5, lip=192.0.2.1, session=<y>"}, 6)},
	},
	"sendmail": {
		// Below LogLevel 10 sendmail tells only that there were too many.
		{"198.51.100.3", "replay", []string{"sm-mta[77]: 06I02CNi000077: mx.example.com [198.51.100.3]: possible SMTP attack: command=AUTH, count=9"}},
		// Before 8.14 the client is in another line.
		{"198.51.100.4", "replay", append([]string{"sm-mta[78]: NOQUEUE: connect from mx.example.com [198.51.100.4]"},
			slices.Repeat([]string{"sm-mta[78]: 06I02CNi000078: AUTH failure (LOGIN): authentication failure (-13) SASL(-13): authentication failure: checkpass failed"}, 6)...)},
	},
}

// scenesLog writes scenes as a program logs them, with the first line at a time, and
// then the lines that are the program's own. The last scene is of a client that both
// ban: by then everything before it was read.
func scenesLog(program string, scenes []scene, from time.Time) string {
	lines := map[int][]string{}
	for i, s := range scenes {
		for _, at := range s.at {
			text, client := forms[program].wrong, s.client
			if s.right[at] {
				text = forms[program].right
			}
			if program == "sendmail" && strings.Contains(client, ":") {
				client = "IPv6:" + client
			}
			lines[at] = append(lines[at], fmt.Sprintf(text, client, i, 1000+i))
		}
	}
	for _, o := range own[program] {
		for at, l := range o.lines {
			lines[300+at] = append(lines[300+at], l)
		}
	}
	var b strings.Builder
	for _, at := range slices.Sorted(maps.Keys(lines)) {
		for _, l := range lines[at] {
			fmt.Fprintf(&b, "%s mx1 %s\n", from.Add(time.Duration(at)*time.Second).Format("2006-01-02T15:04:05.000000-07:00"), l)
		}
	}
	return b.String()
}

// The jails of Debian's fail2ban, fed live, and replay in the words of fail2ban ban
// the same clients, but for what docs/logs.md says.
func TestReplayBansAsFail2ban(t *testing.T) {
	const span = 9 * 60
	jail := lab.Jail{MaxRetry: 5, FindTime: 10 * time.Minute, BanTime: time.Hour}
	f := lab.StartFail2ban(t, jail)

	rand := rand.New(rand.NewPCG(1, 2))
	var scenes []scene
	for i := range 80 {
		// One to nine failures, one to eight seconds apart.
		scenes = append(scenes, fails(fmt.Sprintf("203.0.113.%d", i), every(1+rand.IntN(9), 1+rand.IntN(8), rand.IntN(span-80))...))
	}
	for i := range 10 {
		scenes = append(scenes, fails(fmt.Sprintf("2001:db8:%d::7", i), every(1+rand.IntN(9), 2, rand.IntN(span-80))...))
	}
	for i := range 10 {
		scenes = append(scenes, fails(fmt.Sprintf("192.0.2.%d", i), every(3+i, 20+i*4, 0)...))
	}
	scenes = append(scenes, fails("192.168.7.7", every(6, 5, 10)...)) // private, and banned all the same

	// What is documented: five within findtime, but slowly, and no more of them; …
	slow := fails("198.51.100.1", every(5, 130, 0)...)
	// … a right password in between; …
	forgiven := scene{client: "198.51.100.2", at: every(7, 5, 100), right: map[int]bool{115: true}}
	// … and another address of the same /64 each time.
	var rotating []scene
	for i := range 6 {
		rotating = append(rotating, fails(fmt.Sprintf("2001:db8:ffff::%d", i+1), 200+i))
	}
	last := fails("198.51.100.99", every(5, 1, span)...)
	all := slices.Concat(scenes, []scene{slow, forgiven}, rotating, []scene{last})

	logs, from := map[string]string{}, time.Now().Add(-(span+10)*time.Second)
	for program := range lab.Fail2banJails { // all jails read at the same time
		logs[program] = scenesLog(program, all, from)
		if err := f.Append(program, logs[program]); err != nil {
			t.Fatal(err)
		}
	}
	for program, log := range logs {
		t.Run(program, func(t *testing.T) {
			if err := f.WaitBanned(program, last.client, 30*time.Second); err != nil {
				t.Fatal(err)
			}
			theirs, err := f.Banned(program)
			if err != nil {
				t.Fatal(err)
			}
			differ := map[string]string{ // client: who bans it
				slow.client: "fail2ban", forgiven.client: "fail2ban", "2001:db8:ffff::/64": "replay",
			}
			for _, o := range own[program] {
				differ[o.client] = o.who
			}
			compareBans(t, theirs, replayed(t, log, jail), differ)
		})
	}
}

// compareBans holds the bans of both to each other, but for those that are to differ.
func compareBans(t *testing.T, theirs []string, ours map[string]bool, differ map[string]string) {
	t.Helper()
	both := 0
	for _, client := range theirs {
		if strings.Contains(client, ":") {
			client = strings.TrimSuffix(client, "7") + "/64"
		}
		switch {
		case differ[client] == "fail2ban":
			delete(differ, client)
		case !ours[client]:
			t.Errorf("only fail2ban bans %s", client)
		default:
			both++
		}
		delete(ours, client)
	}
	for client := range ours {
		if differ[client] != "replay" {
			t.Errorf("only replay bans %s", client)
		}
		delete(differ, client)
	}
	if len(differ) > 0 {
		t.Errorf("these differences are documented, and are none: %v", differ)
	}
	t.Logf("both ban %d clients", both)
	if both < 40 {
		t.Error("too few to say anything")
	}
}

// replayed is whom replay bans.
func replayed(t *testing.T, log string, j lab.Jail) map[string]bool {
	t.Helper()
	defaults, err := configs.LoadRules("")
	if err != nil {
		t.Fatal(err)
	}
	rules := replay.Jail{MaxRetry: j.MaxRetry, FindTime: j.FindTime, BanTime: j.BanTime}.Rules(defaults)
	report, err := replay.Run(t.Context(), replay.Options{
		Paths: []string{"-"}, Stdin: strings.NewReader(log), Log: maillog.Options{Location: time.UTC},
		Sets: []replay.RuleSet{{Name: "jail", Rules: rules}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := report.WriteRaw(&b); err != nil {
		t.Fatal(err)
	}
	banned := map[string]bool{}
	for _, client := range strings.Fields(b.String()) {
		banned[client] = true
	}
	return banned
}
