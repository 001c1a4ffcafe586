package replay

import "fmt"

// notes are what a reader of the report should know beside its figures.
func notes(r *Report) []string {
	list := []string{
		"A log has no password hashes. The same wrong password again, as a phone sends it, counts each time here and once in " +
			"saslguard serve; passwords that were right before count here and never there.",
		"Attempts that would have been refused are counted as refused, since their passwords would not have been looked at; " +
			"they are those of the log all the same, as if nobody did anything else for being refused or delayed.",
	}
	t := &r.Results[0].Totals
	if t.Failures > 0 && t.FailuresAllowed*10 >= t.Failures {
		list = append(list, fmt.Sprintf("%s came from clients on the allowlist (rules.allow_clients, loopback by default), whose own score is "+
			"not judged. If a proxy or a container's gateway hides the clients, have it pass their addresses on.", counted(t.FailuresAllowed, "failed login")))
	}
	if t.FailuresNowhere > 0 {
		list = append(list, fmt.Sprintf("%s came without an address of a client; only the account could be judged.", counted(t.FailuresNowhere, "failed login")))
	}
	if t.Successes == 0 && t.Failures > 0 {
		list = append(list, "No successful login is in the log: nobody is familiar, and false alarms cannot show.")
	}
	return list
}
