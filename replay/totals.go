package replay

import (
	"github.com/saslguard/saslguard/guard"
)

// Totals are the figures of a whole replay.
type Totals struct {
	Failures         int `json:"failures"`          // that the log tells of, within --since and --until
	FailuresVerified int `json:"failures_verified"` // of them those whose password would have been looked at
	FailuresRefused  int `json:"failures_refused"`  // and those refused before
	FailuresDelayed  int `json:"failures_delayed"`  // of those looked at
	FailuresAllowed  int `json:"failures_allowed"`  // of clients on the allowlist
	FailuresNowhere  int `json:"failures_without_client"`
	Successes        int `json:"successes"`
	SuccessesRefused int `json:"successes_refused"`
	SuccessesDelayed int `json:"successes_delayed"`
	Ignored          int `json:"ignored"` // failures that are not the client's fault

	Clients        int `json:"clients"` // that failed
	ClientsDelayed int `json:"clients_delayed"`
	ClientsRefused int `json:"clients_refused"`
	ClientsBanned  int `json:"clients_banned"`
	Bans           int `json:"bans"`
	Accounts       int `json:"accounts"` // at which somebody failed
}

func (t *Totals) note(st *step) {
	refused, delayed := st.action == guard.Refuse, st.action == guard.Tarpit
	switch {
	case st.failed:
		t.Failures += st.times
		switch {
		case refused:
			t.FailuresRefused += st.times
		case delayed:
			t.FailuresDelayed += st.times
		}
		if !refused {
			t.FailuresVerified += st.times
		}
		if st.allowed {
			t.FailuresAllowed += st.times
		}
		if !st.client.IsValid() {
			t.FailuresNowhere += st.times
		}
	case st.passed:
		t.Successes += st.times
		switch {
		case refused:
			t.SuccessesRefused += st.times
		case delayed:
			t.SuccessesDelayed += st.times
		}
	default:
		t.Ignored += st.times
	}
}
