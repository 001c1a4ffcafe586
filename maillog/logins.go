package maillog

import "strings"

// logins are copies of the latest logins, so that one that comes again and again is
// copied once. A login has one place, in which the last that fell there stands.
type logins [512]string

// copied returns a copy of a login that stays.
func (l *logins) copied(login string) string {
	sum := uint64(len(login))
	sum = (sum ^ atMostEight(login)) * spread
	sum = (sum ^ atMostEight(login[max(len(login)-8, 0):])) * spread
	slot := &l[sum>>32%uint64(len(l))]
	if *slot != login {
		*slot = strings.Clone(login)
	}
	return *slot
}
