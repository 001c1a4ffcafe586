package maillog

import "strings"

// logins are copies of the latest logins, so that one that comes again and again is
// copied once. A login has one place, in which the last that fell there stands.
type logins [512]string

// copied returns a copy of a login that stays.
func (l *logins) copied(login string) string {
	sum := uint64(len(login))
	sum = (sum ^ eightBytes(login, 0)) * 0x9e3779b97f4a7c15 // as in headers.cut
	sum = (sum ^ eightBytes(login, max(len(login)-8, 0))) * 0x9e3779b97f4a7c15
	slot := &l[sum>>32%uint64(len(l))]
	if *slot != login {
		*slot = strings.Clone(login)
	}
	return *slot
}
