package replay

import (
	"fmt"
	"testing"
	"time"
)

// banned replays failures of one client at the given distances under a jail, and
// returns by which failure it was banned; 0: not at all.
func banned(t *testing.T, j Jail, n int, apart time.Duration) int {
	t.Helper()
	m := newMail(t)
	began := m.at
	for i := range n {
		m.at = began.Add(time.Duration(i) * apart)
		m.fail("203.0.113.7", fmt.Sprintf("user%d", i), 1)
	}
	c := m.replay(func(o *Options) { o.Sets[0].Rules = j.Rules(o.Sets[0].Rules) }).client("203.0.113.7")
	if c.BannedFrom.IsZero() {
		return 0
	}
	if apart == 0 {
		return 1
	}
	return int(c.BannedFrom.Sub(began)/apart) + 1
}

// As fail2ban does: maxretry failures in a row are a ban, one less is not, and
// neither is a client that fails half as often, for ever.
func TestAJailBans(t *testing.T) {
	for _, retries := range []int{1, 2, 3, 5, 10, 50, 100} {
		j := Jail{MaxRetry: retries, FindTime: 10 * time.Hour, BanTime: time.Hour}
		t.Run(j.Name(), func(t *testing.T) {
			if err := j.Check(); err != nil {
				t.Fatal(err)
			}
			if got := banned(t, j, retries+2, time.Second); got != retries {
				t.Errorf("banned by failure %d, want %d", got, retries)
			}
			if retries == 1 {
				return
			}
			if got := banned(t, j, retries-1, time.Second); got != 0 {
				t.Errorf("banned by failure %d of %d", got, retries-1)
			}
			slow := j.FindTime / time.Duration(retries-1) * 2
			if got := banned(t, j, 4*retries, slow); got != 0 {
				t.Errorf("one that fails every %s is banned by failure %d", slow, got)
			}
		})
	}
}

// A ban lasts bantime, the second as long as the first.
func TestAJailsBansAreAlike(t *testing.T) {
	m := newMail(t)
	m.fail("10.0.0.7", "info", 6) // private ones too: fail2ban spares nobody
	m.wait(time.Hour)
	m.fail("10.0.0.7", "info", 6)
	c := m.replay(func(o *Options) {
		o.Sets[0].Rules = Jail{MaxRetry: 5, FindTime: 10 * time.Minute, BanTime: 30 * time.Minute}.Rules(testRules())
	}).client("10.0.0.7")
	if want := m.at.Add(-2*time.Second + 30*time.Minute); c.Bans != 2 || !c.BannedUntil.Equal(want) {
		t.Errorf("%d bans, the last until %s, want 2, until %s", c.Bans, c.BannedUntil, want)
	}
}

// Every jail that is allowed makes rules that are.
func TestAJailsRulesAreRight(t *testing.T) {
	for _, j := range []Jail{
		DefaultJail(), {1, 86 * time.Second, time.Minute}, {1000, 240 * time.Hour, LongestBan}, {2, time.Hour, 100 * 24 * time.Hour},
	} {
		if err := j.Check(); err != nil {
			t.Error(err)
		}
		c := j.Rules(testRules())
		c.Check(func(key, text string) { t.Errorf("%s: %s: %s", j.Name(), key, text) })
	}
}
