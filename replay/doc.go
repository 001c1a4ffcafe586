// Package replay tells what saslguard would have done about the logins that a mail
// log tells of. The real guard, over the real store in memory, is asked about every
// attempt before it is told the outcome, as Dovecot and Postfix would ask, at the
// time that the log says.
//
// It simulates enforcing: an attempt that the guard refuses is counted as refused,
// whatever the log says became of it, because its password would not have been
// looked at. What it cannot simulate is that people and bots do something else when
// they are refused or delayed; the attempts are those of the log.
//
// The way of a line: each log has a goroutine that reads and parses it (stream.go);
// the attempts of logs that overlap, such as those of several hosts, are put in
// the order of their times (merge.go) and handed to one simulation for each set of
// rules (simulation.go), which keeps figures (stats.go). They become a Report
// (report.go, result.go), which is written as a table or as JSON.
//
// On failure: a log that ends early, as a compressed file that was cut, is read as
// far as it goes, and the report says so. Everything that is remembered is bounded;
// what there was no room for is the least, and the report says how much it was.
package replay
