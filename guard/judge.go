package guard

import (
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// question is what judging needs to know of an attempt beside its standing.
type question struct {
	secret  score.Secret
	client  bool // the client's and the network's tiers apply
	account bool // the account's tier applies
	login   bool // a login is tried; false: a connection, and nobody knows whose
}

// judge turns a standing into what enforce mode would do, and why. It is the
// only place that compares a score with a tier.
func (r *Rules) judge(st *store.Standing, q question) (Action, Rule) {
	if st.Familiar {
		return r.judgeFamiliar(st)
	}
	// Where no login is named yet, an office with a guesser in it must get as
	// far as naming one: its own accounts pass the client's refusal.
	spared := !q.login && st.FamiliarAccounts > 0
	switch s := &r.score; {
	case q.client && !spared && s.Refuses(score.Client, st.Client.Score):
		return Refuse, RuleClientScore
	case q.client && !spared && s.Refuses(score.Network, st.Network.Score):
		return Refuse, RuleNetworkScore
	case q.account && q.secret == score.Sure && !r.rightful(st) && (st.Crowded || s.Refuses(score.Account, st.Account.Score)):
		return Refuse, RuleAccountScore
	case st.Full:
		return Refuse, RuleInFlight
	case q.client && over(st.Client, s.Client.Tarpit):
		return Tarpit, RuleClientScore
	case q.client && over(st.Network, s.Network.Tarpit):
		return Tarpit, RuleNetworkScore
	case q.account && st.Known != 1 && over(st.Account, s.Account.Tarpit):
		return Tarpit, RuleAccountScore
	}
	return Pass, RuleNone
}

// rightful tells whether an attempt opens an account under attack from where it has
// never logged in: with the latest right password, from a client that is no guesser
// itself. Who may try one password after another, or many at once, would learn from what
// passes which one is right, though none of the others is verified.
func (r *Rules) rightful(st *store.Standing) bool {
	client := st.Client
	client.Score += client.InFlight
	return st.Known == 1 && !over(client, r.score.Client.Tarpit)
}

// judgeFamiliar judges a pair that has logged in before: neither its client's
// guesses nor a distributed attack on the account are its fault, so only its
// own failures count. The latest right password is let through in any case, or
// somebody else's guessing in the same network could lock the owner out.
func (r *Rules) judgeFamiliar(st *store.Standing) (Action, Rule) {
	switch {
	case st.Known == 1:
		return Pass, RuleNone
	case r.score.Refuses(score.Pair, st.Pair.Score):
		return Refuse, RulePairScore
	case st.Full:
		return Refuse, RuleInFlight
	case over(st.Pair, r.score.Pair.Tarpit):
		return Tarpit, RulePairScore
	}
	return Pass, RuleNone
}

func over(reading score.Reading, tier score.Milli) bool {
	return tier > 0 && reached(reading.Score, tier)
}

// reached tells whether a score is at a tier as people read it: after three
// wrong passwords within seconds they see 3.0 points, of which a little has
// decayed already.
func reached(s, tier score.Milli) bool { return s+score.Point/20 >= tier }

// delay is how long a tarpitted attempt waits: a second at the tarpit score,
// and evenly more up to the longest delay at the refuse score (or at twice the
// tarpit score, where nothing is refused). Whole seconds, as both protocols
// want them.
func (r *Rules) delay(st *store.Standing, rule Rule, smtp bool) time.Duration {
	reading, tiers := st.Client, r.score.Client
	switch rule {
	case RuleNetworkScore:
		reading, tiers = st.Network, r.score.Network
	case RuleAccountScore:
		reading, tiers = st.Account, r.score.Account
	case RulePairScore:
		reading, tiers = st.Pair, r.score.Pair
	}
	longest := int64(r.tarpit.Max / time.Second)
	if smtp {
		longest = min(longest, int64(r.tarpit.MaxSMTP/time.Second))
	}
	from, to := tiers.Tarpit, tiers.Refuse
	if to <= from {
		to = 2 * from
	}
	above := min(reading.Score, to) - from
	seconds := 1 + int64(above)*(longest-1)/int64(max(to-from, 1))
	return time.Duration(max(1, min(seconds, longest))) * time.Second
}
