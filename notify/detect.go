package notify

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// detector finds the news in what the guard tells. Scores are those of all hosts,
// and each news is told by the host whose attempt has crossed a line. Only how often
// a client has failed on an account is counted here, for there is no score of that.
type detector struct {
	spray    int // accounts that a client tries
	guesses  int // failures of a client on an account before a success is suspicious
	observed bool
	seed     maphash.Seed
	failures remembered[int]
}

const (
	failuresLife = time.Hour
	failuresSize = 1 << 15
)

func newDetector(s *settings) *detector {
	d := &detector{seed: maphash.MakeSeed(), failures: remembered[int]{life: failuresLife, size: failuresSize}}
	d.configure(s)
	return d
}

func (d *detector) configure(s *settings) {
	d.spray, d.guesses, d.observed = s.config.SprayAccounts, s.config.Guesses, s.config.Observed
}

// find calls found for each news in an event.
func (d *detector) find(e *guard.Event, found func(News)) {
	switch e.Kind {
	case guard.Banned:
		if !e.Entry.Observed || d.observed {
			found(ofBan(e))
		}
	case guard.Braked:
		found(News{
			Kind: Brake, At: e.At, Title: "automatic bans pause",
			Why: "accounts fail from many networks where they always log in, so the password database is likely broken",
			Do:  "Look after the password database. Bans resume by themselves after " + pause(e) + ".",
		})
	case guard.Reported:
		switch e.Outcome {
		case score.Failure, score.UnknownAccount, score.Refused:
			d.failed(e, found)
		case score.Success:
			d.succeeded(e, found)
		}
	}
}

func pause(e *guard.Event) string {
	if r := e.Verdict.Rules(); r != nil {
		return r.BrakePause().String()
	}
	return "a while"
}

func ofBan(e *guard.Event) News {
	w := News{
		Kind: Ban, At: e.At, Key: e.Entry.Prefix.String() + e.Entry.Since.String(), Client: e.Entry.Prefix,
		Addr: e.Entry.Prefix.Addr(), Entry: e.Entry, Why: e.Entry.Reason,
	}
	return w
}

// failed looks at a failure that added points; others are repeats, and no news. A
// client's accounts come to the limit one by one, so the host that counts that one
// tells.
func (d *detector) failed(e *guard.Event, found func(News)) {
	st, r := &e.Verdict.Standing, e.Verdict.Rules()
	if r == nil {
		return
	}
	if st.Client.Added > 0 && e.Account != "" {
		key := d.pair(e.Client, e.Account)
		n, _ := d.failures.get(key, e.At)
		d.failures.set(key, n+max(e.Count, 1), e.At)
	}
	if limit := r.Tiers(score.Account).Refuse; limit > 0 && attacked(st.Account, limit) {
		found(News{
			Kind: Attack, At: e.At, Key: e.Account, Account: e.Account, Addr: e.Addr, Client: e.Client,
			Why: fmt.Sprintf("%d clients have guessed at it lately, and it has %s of %s points", st.Account.Distinct, points(st.Account.Score), points(limit)),
			Do:  "Its owner still gets in: from where the account has logged in before, and with the right password from elsewhere. See that the password is a good one.",
		})
	}
	if d.spray > 0 && st.Client.Added > 0 && st.Client.Distinct == d.spray && st.FamiliarAccounts < max(r.Office(), 1) {
		found(News{
			Kind: Spray, At: e.At, Key: e.Client.String(), Addr: e.Addr, Client: e.Client,
			Why: fmt.Sprintf("it has tried %d accounts lately, and has %s points", st.Client.Distinct, points(st.Client.Score)),
		})
	}
}

// attackClients is how many clients make an attack on an account a distributed one.
// Of fewer, bans tell.
const attackClients = 3

// attacked tells whether this attempt has made an account's score one over its limit
// by many clients. Of all hosts that share the score, the one that counts it sees that.
func attacked(r score.Reading, limit score.Milli) bool {
	if r.Added <= 0 || r.Score < limit {
		return false
	}
	return r.Score-r.Added < limit && r.Distinct >= attackClients || r.Distinct == attackClients
}

// succeeded asks whether who has just logged in has guessed the password. From where
// the account has logged in before it is its owner.
func (d *detector) succeeded(e *guard.Event, found func(News)) {
	st := &e.Verdict.Standing
	if e.Account == "" || !e.Client.IsValid() {
		return
	}
	key := d.pair(e.Client, e.Account)
	failures, _ := d.failures.get(key, e.At)
	d.failures.forget(key)
	if st.Familiar {
		return
	}
	why := ""
	switch ban := banOf(&e.Verdict); {
	case ban != nil:
		why = "the client is banned (" + ban.Reason + "), and was let in all the same: what it was told, or by whom, did not refuse it"
		if ban.Observed {
			why = "the client would be banned in enforce mode (" + ban.Reason + ")"
		}
	case d.spray > 0 && st.Client.Distinct >= d.spray-1: // its own account is not among them any more
		why = fmt.Sprintf("the same client has tried %d other accounts lately", st.Client.Distinct)
	case d.guesses > 0 && failures >= d.guesses:
		why = fmt.Sprintf("the same client had failed %d times on this account within the hour", failures)
	default:
		return
	}
	found(News{
		Kind: Compromised, At: e.At, Key: e.Account, Account: e.Account, Addr: e.Addr, Client: e.Client,
		Why: why + "; the account had never logged in from its network before",
		Do:  "Ask the owner. If it was somebody else, change the password, and make saslguard forget the networks and passwords that it trusts for the account.",
	})
}

// banOf is the ban that covered an attempt.
func banOf(v *guard.Verdict) *store.Entry {
	if v.Rule == guard.RuleBan || v.Rule == guard.RuleOperatorBan {
		return v.Entry
	}
	return nil
}

func (d *detector) pair(client netip.Prefix, account string) uint64 {
	return maphash.Comparable(d.seed, struct {
		client  netip.Prefix
		account string
	}{client, account})
}

// points writes an amount of points with one decimal.
func points(m score.Milli) string {
	return fmt.Sprintf("%.1f", float64(m)/float64(score.Point))
}
