package guard

import (
	"fmt"
	"time"

	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// Action is what is to be done with an attempt.
type Action uint8

// The actions, in order of severity.
const (
	Pass   Action = iota // go on; never an outright permit
	Tarpit               // go on after Verdict.Delay
	Refuse               // refuse before the password is verified
)

// String returns the action's name in logs and metrics.
func (a Action) String() string {
	switch a {
	case Tarpit:
		return "tarpit"
	case Refuse:
		return "refuse"
	default:
		return "pass"
	}
}

// Rule is the name of the rule that decided. The names are stable.
type Rule string

// The rules, in the order in which they are asked.
const (
	RuleNone         Rule = ""              // nothing speaks against the attempt
	RuleUnguarded    Rule = "unguarded"     // no client address, or nothing to judge
	RuleOperatorBan  Rule = "operator-ban"  // an operator banned the prefix
	RuleAccountBlock Rule = "account-block" // an operator blocked the account
	RuleAllowed      Rule = "allowed"       // the allowlist exempts it
	RuleBan          Rule = "ban"           // banned automatically
	RuleClientScore  Rule = "client-score"  // the client's score
	RulePairScore    Rule = "pair-score"    // the familiar pair's own budget
	RuleNetworkScore Rule = "network-score" // the score of the client's network
	RuleAccountScore Rule = "account-score" // the account is under a distributed attack
	RuleInFlight     Rule = "in-flight"     // too many guesses at once
	RuleTrap         Rule = "trap-account"  // a trap account was tried
	RuleStoreFailing Rule = "store-failing" // no answer from the store: passed
)

// ruleNumbers is how many numbers rules have.
const ruleNumbers = 13

// Number tells the rules apart where their texts would take too long. It is for no
// other process; what is no rule has the number of RuleNone.
func (r Rule) Number() uint8 {
	switch r {
	case RuleUnguarded:
		return 1
	case RuleOperatorBan:
		return 2
	case RuleAccountBlock:
		return 3
	case RuleAllowed:
		return 4
	case RuleBan:
		return 5
	case RuleClientScore:
		return 6
	case RulePairScore:
		return 7
	case RuleNetworkScore:
		return 8
	case RuleAccountScore:
		return 9
	case RuleInFlight:
		return 10
	case RuleTrap:
		return 11
	case RuleStoreFailing:
		return 12
	}
	return 0
}

// Verdict is the guard's answer about an attempt. The zero Verdict passes.
type Verdict struct {
	Action Action        // what to do now
	Would  Action        // what enforce mode would do; equal to Action when enforcing
	Delay  time.Duration // of a Tarpit, in whole seconds, at least one
	Rule   Rule

	// Standing is what the store knew; zero where a ban or the allowlist decided.
	Standing store.Standing
	// Entry is the ledger's entry that decided, or nil.
	Entry *store.Entry
	rules *Rules
}

// Rules returns the rules by which the verdict was reached; nil for the zero
// Verdict.
func (v *Verdict) Rules() *Rules { return v.rules }

// Reason says in words why the verdict is what it is, in printable ASCII but
// for what an operator wrote.
func (v *Verdict) Reason() string {
	st := &v.Standing
	switch v.Rule {
	case RuleOperatorBan, RuleAccountBlock, RuleBan:
		return v.entryReason()
	case RuleAllowed:
		return "exempt by the allowlist"
	case RuleClientScore:
		return v.scoreReason("the client", st.Client, score.Client, "accounts")
	case RuleNetworkScore:
		return v.scoreReason("the client's network", st.Network, score.Network, "clients")
	case RuleAccountScore:
		if st.Crowded {
			return fmt.Sprintf("the account has %s of %s points, and guesses at it that are being verified take the rest; clients: %d",
				points(st.Account.Score), points(v.rules.score.Account.Refuse), st.Account.Distinct)
		}
		return v.scoreReason("the account", st.Account, score.Account, "clients")
	case RulePairScore:
		return v.scoreReason("the account from its familiar network", st.Pair, score.Pair, "clients")
	case RuleInFlight:
		return "too many guesses at once: " + points(st.Client.InFlight+st.Account.InFlight+st.Pair.InFlight) +
			" points are being verified, and no more would fit below the refuse score"
	case RuleStoreFailing:
		return "the store does not answer, so nothing is known"
	case RuleUnguarded:
		return "no client address"
	}
	return "nothing speaks against it"
}

func (v *Verdict) scoreReason(who string, r score.Reading, k score.Kind, distinct string) string {
	tiers := v.rules.score.Tiers(k)
	if v.Would == Refuse {
		return fmt.Sprintf("%s has %s of %s points, and one more wrong password would be too many; %s: %d",
			who, points(r.Score), points(tiers.Refuse), distinct, r.Distinct)
	}
	return fmt.Sprintf("%s has %s points, delayed from %s; %s: %d", who, points(r.Score), points(tiers.Tarpit), distinct, r.Distinct)
}

// entryReason is made in one piece, for each banned client asks at least once.
func (v *Verdict) entryReason() string {
	var room [256]byte
	e, b := v.Entry, room[:0]
	if v.Rule == RuleAccountBlock {
		b = append(b, "account blocked by "...)
	} else {
		b = append(b, "banned by "...)
	}
	b = append(b, e.By...)
	if e.Prefix.IsValid() {
		b = e.Prefix.AppendTo(append(b, " as "...))
	}
	if e.Until.IsZero() {
		b = append(b, " permanently"...)
	} else {
		b = e.Until.UTC().AppendFormat(append(b, " until "...), time.RFC3339)
	}
	return string(append(append(b, ": "...), e.Reason...))
}
