// Package lab starts real Postfix and Dovecot for end-to-end tests, each in a
// directory and on ports of its own, and speaks SMTP, IMAP and POP3 to them. It
// also starts Redis, alone, under Sentinels and as a Cluster, and lets it die,
// hang or vanish behind a black hole in a network namespace.
//
// The way of a test: [Main] in TestMain, so that only one package at a time
// runs real servers; [StartDovecot] and [StartPostfix]; [Build] and
// [StartProcess] for the program under test; then a [Login] in a loop or a
// table. Nothing is ever skipped: what is missing on the machine fails the
// test with the command that installs it ([Require]).
//
// The address of a client is a fact that a test decides. Dovecot, and
// Postfix's SubmissionProxy, believe the PROXY protocol
// (https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt); Postfix also
// believes XCLIENT (https://www.postfix.org/XCLIENT_README.html). The two are
// not the same to a policy server: the PROXY address is in the question asked
// at CONNECT, while after XCLIENT a second question is asked, whose
// protocol_state is XCLIENT.
//
// On failure a server's own log is added to the test's. Every process is
// started in its own process group, which is killed when the test ends, and
// also when the test binary itself dies.
package lab
