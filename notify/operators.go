package notify

import (
	"github.com/saslguard/saslguard/store"
)

// Operator tells of a ban that an operator made on this host, where that is wanted.
// It never waits.
func (n *Notifier) Operator(e store.Entry) {
	if !n.settings.Load().config.Operators {
		return
	}
	why := "by " + e.By
	if e.Reason != "" {
		why += ": " + e.Reason
	}
	w := News{Kind: Ban, At: n.now(), Account: e.Account, Client: e.Prefix, Entry: &e, Why: why}
	if e.Prefix.IsValid() {
		w.Addr = e.Prefix.Addr()
	}
	n.Tell(w)
}
