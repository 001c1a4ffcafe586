package days

import "time"

// limits are owners whom the rules do hurt. The documents name them.
func limits() []scenario {
	return []scenario{
		{name: "somebody new behind an address from which somebody guesses", days: 1, populate: func(w *world) {
			w.office(20, carrier)
			w.guesses(w.attackers("another customer"), carrier, "person003@example.org", 90*time.Second)
			w.guesses(w.attackers("another customer"), carrier, "nobody@example.org", 90*time.Second)
			w.enrol(alice)
			w.user(alice, carrier, 6*time.Hour, time.Hour, "")
		}, limit: "an unfamiliar client is refused by its address, right password or not: what lets the right password pass lets the right guess pass"},
		{name: "a password changed and first used in a new network, under attack", days: 1, populate: func(w *world) {
			w.aliceAtHome()
			w.botnet(100, 10*time.Minute)
			w.changes(alice, 6*time.Hour)
			w.user(alice, carrier, 7*time.Hour, time.Hour, "")
		}, limit: "a password that never was right cannot be told from a guess; one login from a familiar network or through webmail ends it"},
		{name: "somebody who forgot: twelve passwords in a new network, then the right one", days: 1, populate: func(w *world) {
			w.aliceAtHome()
			w.forgetful(carrier, 3*time.Hour)
		}, limit: "to the rules that is a guesser; it is over within minutes"},
		{name: "CRAM-MD5: a phone that was never right, at home with others", days: 1, populate: func(w *world) {
			w.household()
			w.phoneBy("CRAM-MD5", "bob@example.org", "never right", homeOf(1), time.Minute)
		}, limit: "without a hash every attempt is a new guess"},
		{name: "a phone that was never right, where Dovecot does not tell the mechanism", days: 1, populate: func(w *world) {
			w.household()
			w.phoneBy("-", "bob@example.org", "never right", homeOf(1), time.Minute)
		}, limit: "only 20 repeats in a half-life are free: have Dovecot tell it, as the shipped snippet does"},
		{name: "22 phones that were never right, behind one address that is no office yet", days: 1, populate: func(w *world) {
			staff := w.staff(22)
			for _, a := range staff {
				w.phone(a, "never right", office, time.Minute)
			}
			w.user(staff[0], office, time.Hour, time.Hour, "")
		}, limit: "to the rules that is a spray; begin with mode observe, in which networks become familiar"},
		{name: "100 phones with an old password in an office, with no guard before the reset", days: 1, populate: func(w *world) {
			c := w.people("100 phones")
			for i, a := range w.staff(100) {
				w.changes(a, 0)
				told := 2*time.Hour + time.Duration(i)*time.Minute
				w.every(time.Minute+time.Duration(i)*time.Second, 5*time.Minute, func(int) {
					l := logs(a, office)
					if w.clock() > told {
						l = w.rightLogin(a, office, "")
					}
					w.try(c, l)
				})
			}
		}, limit: "nobody knows yet that the password was right before; begin with mode observe, some weeks before a reset"},
	}
}
