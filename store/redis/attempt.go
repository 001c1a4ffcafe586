package redis

import (
	"github.com/saslguard/saslguard/score"
	"github.com/saslguard/saslguard/store"
)

// attempt is one operation on its way through its two slots.
type attempt struct {
	op      *store.Op
	marks   store.Marks
	prefix  string
	rules   string // packed
	slot    uint64 // the network in whose slot the client is
	now     int64  // Unix milliseconds; 0: the server's
	create  bool   // new subjects may be made
	client  bool   // the client is named
	network bool   // and its network
	account bool   // the account is named

	onNetwork, onAccount answer
}

// newAttempt looks at what an operation names. Where nothing is named, there is
// nothing that has no room.
func (s *Store) newAttempt(op *store.Op, now int64) attempt {
	a := attempt{
		op: op, marks: s.hash.Marks(op), prefix: s.prefix, rules: s.pack(op.Rules), now: now,
		create: !s.census.full.Load(), client: op.Client.IsValid(), account: op.Account != "",
		onNetwork: answer{flags: fitsFlag}, onAccount: answer{flags: fitsFlag},
	}
	a.network = a.client && op.Network.IsValid()
	if a.client {
		a.slot = s.slotOf(op, &a.marks)
	}
	return a
}

// asksFirst tells whether the network's slot must know what the account's slot
// says of the secret: a failure with a password that was right before counts
// nowhere. A question asks both at once and is put right afterwards, because
// somebody waits for it.
func (a *attempt) asksFirst() bool {
	if a.op.Verb != store.Record || !a.client || !a.account || a.op.Secret != score.Sure {
		return false
	}
	return a.op.Outcome == score.Failure || a.op.Outcome == score.UnknownAccount || a.op.Outcome == score.Refused
}

// take notes a script's answer.
func (a *attempt) take(c *call) error {
	readings := 3
	if c.side == onAccount {
		readings = 1
	}
	switch {
	case c.side == onNetwork && c.verb == unfriend:
		return nil
	case c.side == onAccount && c.verb == befriend:
		a.onAccount.until = a.onNetwork.until
		return nil
	}
	got, err := decodeAnswer(c.reply, readings)
	if err != nil {
		return err
	}
	mine := &a.onNetwork
	if c.side == onAccount {
		mine = &a.onAccount
	}
	if c.verb == giveBack {
		mine.readings[0] = got.readings[0]
		mine.flags &^= takenFlag
		return nil
	}
	*mine = got
	return nil
}

// amend returns what is left to do once both slots have answered: neither could
// know what the other one decided.
func (a *attempt) amend() (calls []call) {
	switch a.op.Verb {
	case store.Reserve:
		return a.amendReserve()
	case store.Record:
		// The account's copy of who is familiar follows the network's.
		if a.op.Outcome == score.Success && a.account && a.network && a.onNetwork.until > a.onAccount.until {
			return []call{a.accountCall(befriend, 0, a.onNetwork.until)}
		}
	}
	return nil
}

// amendReserve gives back the place that the account's slot gave where the client had no
// room, and either's where none was needed. A familiar pair keeps the place that its known
// password did not need: it is one for each password, lapses for nothing, and
// giving it back would cost a round trip at every login.
func (a *attempt) amendReserve() []call {
	familiar, known := a.onNetwork.has(familiarFlag), a.onAccount.known > 0
	client, account := &a.onNetwork, &a.onAccount
	switch {
	case familiar || !client.has(fitsFlag) && !known:
		if account.has(takenFlag) {
			return []call{a.accountCall(giveBack, 0, 0)}
		}
	case known:
		if client.has(takenFlag) {
			return []call{a.networkCall(giveBack, byte(a.onAccount.known))}
		}
	case account.has(familiarFlag) && a.op.Secret == score.Sure && !a.op.AccountExempt:
		// The account's copy is of a pair that its network forgot.
		return []call{a.accountCall(reserve, stranger, 0)}
	}
	return nil
}

// standing is what became of the operation.
func (a *attempt) standing() store.Standing {
	out := store.Standing{
		Client: a.onNetwork.readings[0], Network: a.onNetwork.readings[1], Pair: a.onNetwork.readings[2],
		Account: a.onAccount.readings[0], Familiar: a.onNetwork.has(familiarFlag),
		FamiliarAccounts: a.onNetwork.accounts, Known: a.onAccount.known,
	}
	switch {
	case a.client:
		out.At = millis(a.onNetwork.at)
	case a.account:
		out.At = millis(a.onAccount.at)
	}
	if a.op.Verb != store.Reserve {
		return out
	}
	switch {
	case out.Known > 0 && out.Familiar:
		if a.onNetwork.has(takenFlag) {
			out.Pair.InFlight -= a.onNetwork.points
		}
	case out.Known > 0:
		out.Crowded = out.Known == 1 && !a.op.AccountExempt && a.op.Rules.Crowded(out.Account)
	case out.Familiar || !a.onNetwork.has(fitsFlag):
		out.Full = a.onNetwork.has(fullFlag)
	default:
		out.Full = a.onAccount.has(fullFlag)
		out.Crowded = out.Full
	}
	return out
}
