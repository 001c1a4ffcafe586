// Package dovecotpolicy answers Dovecot's authentication policy requests
// (https://doc.dovecot.org/2.4.1/core/config/auth/policy.html), of Dovecot 2.3
// and 2.4: before a password is verified Dovecot asks with `command=allow`
// whether it may be, and afterwards it tells with `command=report` what came of
// it. Both are JSON objects in the body of a POST, and both are answered with
// {"status":N,"msg":"…"}: below zero refuses, zero goes on, above zero delays by
// as many seconds.
//
// What is asked and told becomes a guard.Attempt and is put to a Judge; this
// package judges nothing. The answering (answer.go) is a function of command
// and body; the transport around it (server.go) is fasthttp.
//
// Dovecot fails open: whatever is not status 200 with exactly those two keys
// lets the login through, with a line in Dovecot's log. So a request that
// cannot be read, or one without the right credentials, is not a login refused
// but a guess let through, and is counted and logged for the operator to see.
package dovecotpolicy
