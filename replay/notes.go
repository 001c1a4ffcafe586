package replay

import "fmt"

// notes are what a reader of the report should know beside its figures.
func notes(r *Report) []string {
	list := []string{
		"A log has no password hashes: the same wrong password again, as a phone sends it, counts each",
		"time here and once in saslguard serve; right ones of before count here, and never there.",
		"What is refused is counted as refused; the attempts are those of the log all the same.",
	}
	t := &r.Results[0].Totals
	if t.Failures > 0 && t.FailuresAllowed*10 >= t.Failures {
		list = append(list, fmt.Sprintf("%s came from clients on the allowlist (rules.allow_clients: loopback at least), who are not judged.",
			counted(t.FailuresAllowed, "failed login")),
			"If a proxy or a container's gateway hides the clients, have it pass their addresses on.")
	}
	if t.FailuresNowhere > 0 {
		list = append(list, fmt.Sprintf("%s came without an address of a client; only the account could be judged.", counted(t.FailuresNowhere, "failed login")))
	}
	if t.Successes == 0 && t.Failures > 0 {
		list = append(list, "No successful login is in the log: nobody is familiar, and false alarms cannot show.")
	}
	return list
}
