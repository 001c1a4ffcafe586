// Package store says how scores, bans and familiar pairs are kept. It holds the
// interfaces and the values that cross them; the stores themselves are the
// packages below it, and package storetest is the contract that each of them
// passes.
//
// A store only remembers. What counts and how much is package score's
// arithmetic, and what follows from it is package guard's to judge. Every
// operation is one atomic step on each subject that it names. When a store
// fails it returns an error and no standing; the caller then goes on without.
package store

import (
	"context"
	"net/netip"
	"time"

	"github.com/saslguard/saslguard/score"
)

// Verb is what an operation does with the subjects that it names.
type Verb uint8

// The verbs.
const (
	Look    Verb = iota // reads
	Reserve             // reads and takes a place for an attempt
	Record              // counts an attempt and settles its place
)

// MaxAccount bounds the bytes of a canonical account name. Longer ones are cut
// by whoever canonicalises, never by a store.
const MaxAccount = 320

// Op is one operation on the subjects of one attempt.
type Op struct {
	Verb            Verb
	ID              uint64       // random for each attempt: a Record sent twice counts once
	At              time.Time    // zero: now, by the store's clock
	Client, Network netip.Prefix // zero: not counted, and the pair is never familiar
	Account         string       // canonical, at most MaxAccount bytes; "": not counted
	AccountExempt   bool         // the account's own score neither counts nor refuses
	Token           uint32       // keyed hash of what was guessed; means nothing where Secret is None
	Secret          score.Secret // how much Token tells
	Guess           uint64       // client, account, secret and session: both questions share a place; 0: cannot be told
	LapseCounts     bool         // a place that nobody reports counts as a failure, unless the pair is familiar
	Outcome         score.Outcome
	Count           int // attempts that a Record stands for; below 1 is 1
	Rules           *score.Rules
	Names           *Names // as Trier.Names gave them for these subjects; nil: the store finds them out
}

// Standing is what the store knows of an attempt's subjects after an operation.
// A subject that was not named has a zero reading.
type Standing struct {
	At                       time.Time
	Client, Network, Account score.Reading
	Pair                     score.Reading // of a familiar pair, which counts here instead of on the account
	Familiar                 bool          // the account has logged in from the network before
	FamiliarAccounts         int           // accounts familiar to the network
	Known                    int           // 0: this secret was never right; 1: the account's latest right one; 2, 3: an earlier one
	Full                     bool          // a place was asked for, and none was left below the refuse score
	Crowded                  bool          // guesses in flight at the account leave it no room; the latest right secret needs none
}

// Scores keeps the scores of subjects.
type Scores interface {
	// Do carries out operations in one round trip; out[i] answers ops[i], and
	// both have the same length. Operations of one call are not atomic together.
	//
	// A Reserve for an unfamiliar pair takes a place on the client and, where
	// the secret is Sure and the account not exempt, on the account; for a
	// familiar pair it takes one on the pair only. Where the client or the pair has
	// no room, or the network's score refuses, none is taken. Where only the account has
	// none, the client keeps its place until the Record: whoever is told that it is
	// refused knows more than before, and many such guesses at once must not. Full
	// is set if it was the places and not the score that left no room, and Crowded if
	// those were the account's. The account's latest right secret needs no place on the
	// account or the pair.
	//
	// A Record counts on the client and the network, and on the account or, for
	// a familiar pair, on the pair instead of account and network. A Success
	// forgives what the client owes on the account (on client, account and
	// pair), stores a Sure token among the account's right ones, and makes the
	// pair familiar if the client was below its tarpit score; one that is familiar
	// stays so for longer in any case. An account that is exempt has its place
	// settled and is left alone otherwise.
	//
	// Subjects change where a place is taken or freed and where they are recorded.
	// To be looked at, or asked for a place in vain, moves no subject's clock, so
	// that scores do not depend on how often somebody asks. A subject that is
	// empty then is dropped.
	Do(ctx context.Context, ops []Op, out []Standing) error
}

// Trier is a Scores that asks about an attempt and records it in one step.
type Trier interface {
	Scores
	// Try does what Do does for two operations on one attempt: op, which is a Look or
	// a Reserve, and the Record that follows it. judge is told what the first gives
	// and says with which outcome the attempt is recorded; until that is done no other
	// operation meets its subjects, so judge must not call the store. What the two
	// operations give is in asked and recorded.
	Try(ctx context.Context, op *Op, judge Judge, asked, recorded *Standing) error
	// Names finds out ahead of Try what the store calls the subjects of an operation:
	// the Client, Network and Account that stand in it.
	Names(client, network netip.Prefix, account string) Names
}

// Judge says how an attempt ends.
type Judge interface {
	Judge(asked *Standing) score.Outcome
}

// Forgetter drops what is known of subjects, as an operator's unban does.
type Forgetter interface {
	// ForgetClient drops the score of the client and the ring that explains it.
	ForgetClient(ctx context.Context, client netip.Prefix) error
	// ForgetAccount drops the account's score, its familiar pairs and its right
	// passwords, and returns how many pairs there were.
	ForgetAccount(ctx context.Context, account string) (int, error)
}

// Store is all that a store keeps.
type Store interface {
	Scores
	Forgetter
	Ledger
	// Key is the key under which secrets are hashed before they reach a store:
	// random, kept with the data, and the same on every host that shares it.
	Key() [16]byte
	// Close writes what is not durable yet and ends the store's goroutines. It
	// returns when that is done or ctx ends.
	Close(ctx context.Context) error
}
