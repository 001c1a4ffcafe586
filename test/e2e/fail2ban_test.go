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

// scenesLog writes scenes as Postfix logs them, with the first line at a time. The last scene
// is of a client that both ban: by then everything before it was read.
func scenesLog(scenes []scene, from time.Time) string {
	lines := map[int][]string{}
	for i, s := range scenes {
		for _, at := range s.at {
			text := "warning: unknown[%s]: SASL LOGIN authentication failed: authentication failure, sasl_username=user%d@example.org"
			if s.right[at] {
				text = "4F2A7B1C9D: client=unknown[%s], sasl_method=LOGIN, sasl_username=user%d@example.org"
			}
			lines[at] = append(lines[at], fmt.Sprintf("%s mx1 postfix/submission/smtpd[%d]: "+text,
				from.Add(time.Duration(at)*time.Second).Format("2006-01-02T15:04:05.000000-07:00"), 1000+i, s.client, i))
		}
	}
	var b strings.Builder
	for _, at := range slices.Sorted(maps.Keys(lines)) {
		for _, l := range lines[at] {
			b.WriteString(l + "\n")
		}
	}
	return b.String()
}

// The jail of Debian's fail2ban, fed live, and replay in the words of fail2ban ban
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

	log := scenesLog(all, time.Now().Add(-(span+10)*time.Second))
	if err := f.Append(log); err != nil {
		t.Fatal(err)
	}
	if err := f.WaitBanned(last.client, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	theirs, err := f.Banned()
	if err != nil {
		t.Fatal(err)
	}
	ours := replayed(t, log, jail)

	differ := map[string]string{ // client: who bans it
		slow.client: "fail2ban", forgiven.client: "fail2ban", "2001:db8:ffff::/64": "replay",
	}
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
	t.Logf("both ban %d clients of %d", both, len(all))
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
