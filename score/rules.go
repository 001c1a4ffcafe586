// Package score is the arithmetic of one subject: a client, a network, an
// account, or a familiar pair of network and account. A subject has a score
// that halves every half-life (the penalty model of route-flap damping,
// RFC 2439), a ring of its latest distinct guesses, and the places of attempts
// that are in flight.
//
// Everything is an integer: points in thousandths, times in Unix milliseconds.
// A store that keeps subjects elsewhere (a script inside Redis, whose numbers
// are doubles) transcribes this package and agrees with it to the unit, because
// no intermediate value exceeds 2^53.
//
// There is no I/O here, no clock and no lock: time is an argument, and one
// subject belongs to one caller at a time. Nothing fails; what does not fit is
// bounded.
package score

// Milli is an amount of points in thousandths of a point.
type Milli int64

// Point is one point.
const Point Milli = 1000

// MaxScore bounds every score, so that a product with a fixed-point factor
// stays exact in a double.
const MaxScore Milli = 1 << 31

// Kind says what a subject is. It decides what a failed login adds to it.
type Kind uint8

// The kinds of subject.
const (
	Client  Kind = iota // an IPv4 address or an IPv6 /64
	Network             // the /24 or /48 around a client
	Account             // a login
	Pair                // a network and an account that has logged in from it
)

// Outcome is what became of an attempt.
type Outcome uint8

// The outcomes of an attempt.
const (
	Unknown        Outcome = iota // a question: not verified yet
	Success                       // the password was right
	Failure                       // the password was wrong
	UnknownAccount                // there is no such account
	Refused                       // refused by policy, the password was not verified
	Trapped                       // a failed or refused login to a trap account
	Ignored                       // internal failures and the like: settles a place, counts nothing
	Crowded                       // refused for nothing but guesses in flight: counts nothing
)

// Secret says how much a guess's token tells.
type Secret uint8

// The kinds of secret.
const (
	None    Secret = iota // no token: every attempt is a new guess
	Sure                  // equal tokens are equal passwords
	Unsure                // equal tokens may be equal passwords: the mechanism is unknown
	Rotates               // a token mechanism (XOAUTH2): counts once for each client and account
)

// Tiers are the scores from which a subject is tarpitted and banned, and the one
// that refusals keep it from passing. Zero switches a tier off.
type Tiers struct {
	Tarpit, Refuse, Ban Milli
}

// Ceiling is the highest score that a subject with these tiers reaches: twice
// its ban score, or twice its highest tier where there is no ban. A bounded
// score decays in bounded time.
func (t Tiers) Ceiling() Milli {
	return min(2*max(t.Tarpit, t.Refuse, t.Ban), MaxScore)
}

// Rules are what the arithmetic needs to know. They are immutable once used,
// and travel with every operation, so that a reload needs no store.
type Rules struct {
	HalfLife int64 // milliseconds, at least 1024

	Failure        Milli // for a failed login, above zero
	UnknownAccount Milli // added when there is no such account
	FurtherAccount Milli // added for each account after the first of a client
	FreeRepeats    int   // uncounted repeats of an Unsure guess in a half-life

	Client, Network, Account, Pair Tiers

	PlaceLife int64 // milliseconds that an attempt may be in flight

	FamiliarFor int64 // milliseconds that a pair stays familiar after a login
	Remember    int   // right passwords remembered for each account, 0 to 3
	RememberFor int64 // milliseconds that a right password is remembered
}

// Tiers returns the tiers of a kind of subject.
func (r *Rules) Tiers(k Kind) Tiers {
	switch k {
	case Client:
		return r.Client
	case Network:
		return r.Network
	case Account:
		return r.Account
	default:
		return r.Pair
	}
}

// Refuses tells whether a score leaves no room for one more failed login below
// the refuse score: with a refuse score of ten points, ten guesses pass and not
// one more, however little the first of them have decayed.
func (r *Rules) Refuses(k Kind, s Milli) bool {
	refuse := r.Tiers(k).Refuse
	return refuse > 0 && s+r.Failure > refuse
}

// Crowded tells whether it is the points in flight, and not the score, that leave an
// account no room for one more failed login below the refuse score.
func (r *Rules) Crowded(account Reading) bool {
	return !r.Refuses(Account, account.Score) && r.Refuses(Account, account.Score+account.InFlight)
}

// points is what a new guess with this outcome adds to a subject of a kind,
// further accounts aside.
func (r *Rules) points(k Kind, o Outcome) Milli {
	switch o {
	case Failure:
		return r.Failure
	case UnknownAccount:
		if k == Client || k == Network {
			return r.Failure + r.UnknownAccount
		}
		return r.Failure
	case Refused:
		// Persistence leads to the ban, and only clients are banned for it: the
		// password was not verified, so no account was any nearer to being broken.
		if k == Client {
			return r.Failure
		}
	}
	return 0
}
