package doctor

import (
	"fmt"
	"slices"
)

// Kind is what can be found of one thing that is looked at.
type Kind struct {
	ID       string   // stable: scripts and documents name it
	Severity Severity // when it is wrong
	Symptom  string   // what people notice, who know nothing of it yet
	Why      string   // why it matters
	Mend     string   // what mends it, in general; the finding has the exact lines
}

// Kinds lists all of them, in the order in which they are documented.
func Kinds() []Kind { return slices.Clone(kinds) }

// IDs lists the names of all of them.
func IDs() []string {
	ids := make([]string, len(kinds))
	for i, k := range kinds {
		ids[i] = k.ID
	}
	return ids
}

func kindOf(id string) Kind {
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.ID == id })
	if i < 0 {
		panic(fmt.Sprintf("doctor: no kind %q", id)) // a test goes through all of them
	}
	return kinds[i]
}

var kinds = slices.Concat(saslguardKinds, postfixKinds, dovecotKinds, redisKinds, systemKinds)

var saslguardKinds = []Kind{
	{"config", Error, "saslguard does not start, or a reload changes nothing.",
		"A configuration that is wrong is refused as a whole.",
		"`saslguard config check` names file, line and what is allowed."},
	{"config-hints", Warning, "Nothing yet.",
		"It works, and is hardly meant: a secret that others can read, or an address that others can reach.",
		"Do what the hint says; `chmod 640` for a file with secrets."},
	{"mode", Warning, "Offenders are logged and not refused, or refused and should not be.",
		"What runs decides, not what is in the file.",
		"Reload saslguard (SIGHUP), or change `mode:`."},
	{"running", Error, "Nobody is refused; /metrics and saslguard health do not answer.",
		"Postfix and Dovecot go on without saslguard, and unguarded.",
		"Start saslguard."},
	{"health-failing", Error, "saslguard health says failing.",
		"A part of saslguard does not do its work.",
		"Its log has the reason."},
	{"health-degraded", Warning, "saslguard health says degraded.",
		"Logins are judged, with less than there should be.",
		"Its log has the reason; docs/operating.md has the parts."},
	{"same-version", Warning, "A new option is unknown, a fix has no effect.",
		"The program was replaced, and the old one still runs.",
		"Restart saslguard."},
	{"malformed", Warning, "Logins pass that should not.",
		"What cannot be read is let through: something else speaks to the ports, or a version speaks differently.",
		"Its log names them; find out who else connects to its addresses."},
	{"losses", Warning, "Scores are lower than they should be; bans are missing after a restart.",
		"What was learnt has been lost.",
		"Look after disk, load and Redis."},
	{"brake", Warning, "Nobody is banned any more.",
		"While the password database is likely broken nobody is banned for it.",
		"Look after the password database."},
	{"clients", Warning, "One address seems to do everything; a ban would hit everybody.",
		"Behind a proxy or a NAT that hides the clients all of them share one score. (Private addresses are never banned, but refused.)",
		"Have the proxy pass the clients' addresses on: PROXY protocol, XCLIENT, or `login_trusted_networks` for a webmail."},
	{"allow-session", Info, "The administrator locks himself out.",
		"Operators' own addresses are best on the allowlist before anything is enforced.",
		"Add it to `rules.allow_clients`."},
	{"ports", Error, "saslguard does not start (address already in use), or is not asked.",
		"Postfix and Dovecot ask whoever listens there.",
		"Stop the other program, or use another address on both sides."},
	{"control-socket", Error, "Bans or unbans that nobody of yours made.",
		"Whoever can open the control socket may do everything that the commands do.",
		"`admin.control.socket_mode: \"0660\"` and a group of operators."},
	{"log-reported", Warning, "saslguard warns of services that are in maillog.services and reported by Dovecot.",
		"A login is counted once, and the report comes first and knows more: the log is of no use for these services.",
		"Take them out of `maillog.services`."},
	{"state-mode", Warning, "Nothing yet.",
		"The state has the logins of your users and hashes of 12 bits of their passwords.",
		"`chmod 700`."},
	{"state-space", Warning, "Bans are gone after a restart; saslguard_store_write_errors_total grows.",
		"Bans and familiar clients are on disk before they take effect.",
		"Make room, or set `state_directory` to another disk."},
}

var postfixKinds = []Kind{
	{"postfix-settings", Error, "postconf or postfix check complain.",
		"What cannot be read cannot be checked.",
		"`postfix check`."},
	{"postfix-version", Error, "Postfix complains of check_policy_service.",
		"timeout and default_action of one policy service need Postfix 3.0, policy_context 3.1.",
		"Upgrade Postfix."},
	{"postfix-typo", Warning, "A restriction has no effect.",
		"Postfix ignores parameters that it does not know, and only postconf says so.",
		"Correct the name."},
	{"postfix-logins", Info, "Nobody can log in by SMTP.",
		"Where nobody can log in there is nothing to guard.",
		"Nothing, if people log in elsewhere."},
	{"postfix-asks", Error, "Banned clients still try passwords by SMTP.",
		"What is not asked when a client connects comes too late: most guessers never come to MAIL FROM or RCPT TO.",
		"`check_policy_service` in the service's `smtpd_client_restrictions` in master.cf."},
	{"postfix-delay-reject", Error, "Banned clients still try passwords by SMTP.",
		"With smtpd_delay_reject=yes Postfix asks at RCPT TO, after the login.",
		"`-o smtpd_delay_reject=no` for the service."},
	{"postfix-order", Error, "Banned clients still try passwords by SMTP.",
		"Restrictions are asked in their order, and the first that permits ends the list.",
		"`check_policy_service` first."},
	{"postfix-refuses-all", Error, "All mail programs get \"Client host rejected: Access denied\".",
		"With smtpd_delay_reject=no client restrictions are asked before anybody could log in: permit_sasl_authenticated never helps there.",
		"`permit_sasl_authenticated, reject` belongs into `smtpd_relay_restrictions`."},
	{"postfix-helo", Warning, "Mail programs are refused for their HELO name.",
		"With smtpd_delay_reject=no HELO restrictions are asked before anybody could log in, and people's own computers have poor HELO names.",
		"`-o smtpd_helo_restrictions=` for the service."},
	{"postfix-default-action", Error, "\"451 4.3.5 Server configuration problem\" while saslguard restarts.",
		"Without default_action=DUNNO mail stops when saslguard is away.",
		"`default_action=DUNNO` in the `check_policy_service`."},
	{"postfix-try-limit", Error, "After one hiccup saslguard is no longer asked.",
		"With try_limit=1 a Postfix process never comes back to a policy service that missed a timeout once.",
		"Take `try_limit` out."},
	{"postfix-timeout", Warning, "Greetings are late while saslguard hangs; or saslguard is too often not waited for.",
		"saslguard answers within a second. Longer than some seconds holds a process of Postfix for nothing (its own timeout is 100 s), shorter may not wait for the answer.",
		"`timeout=3s` in the `check_policy_service`."},
	{"postfix-context", Warning, "Verdicts are ignored where people log in; or mail from other servers bounces.",
		"policy_context says what a service is for: automatic verdicts count where people log in, and only bans by an operator where other servers deliver.",
		"`policy_context=submission` where people log in, `mx` where servers deliver."},
	{"postfix-answer", Error, "warning: connect to private/saslguard: No such file or directory.",
		"Nobody answers: with default_action=DUNNO everybody passes, without it mail stops.",
		"Start saslguard, or correct the address on one side."},
	{"postfix-socket", Error, "warning: connect to private/saslguard: Permission denied.",
		"smtpd runs as the user postfix, and chrooted it sees only the queue directory.",
		"`unix:private/saslguard`, made by systemd (saslguard-postfix.socket)."},
	{"postfix-guesses", Warning, "Many wrong passwords on one connection.",
		"Postfix asks its policy service when a client connects and not for each guess; where its SASL server does not ask either, only its own limits end a session.",
		"Let Dovecot verify and ask, or lower `smtpd_hard_error_limit` and set `smtpd_client_auth_rate_limit`."},
	{"postfix-sasl-service", Warning, "454 4.7.0 Connection lost to authentication server.",
		"saslguard keeps delays for smtp and submission under the 10 s that Postfix waits for Dovecot, and knows them by that name.",
		"Leave `smtpd_sasl_service` at `smtp`."},
	{"postfix-attempts", Warning, "Everything is wired, and nothing happens.",
		"Postfix has not read its settings again, or nobody comes.",
		"`postfix reload`."},
	{"tarpit-held", Warning, "Mail programs wait for a greeting while guessers are delayed.",
		"Each delayed client holds a process of Postfix.",
		"A lower `rules.tarpit.held_postfix`, or more processes in master.cf."},
	{"tarpit-postfix", Error, "454 4.7.0 Connection lost to authentication server; attempts are not counted.",
		"Postfix gives up waiting for Dovecot after 10 s, and the report of such an attempt may be lost.",
		"A lower `rules.tarpit.max_smtp`, `auth_failure_delay` or timeout."},
}

var dovecotKinds = []Kind{
	{"dovecot-settings", Error, "doveconf -n complains.",
		"What cannot be read cannot be checked.",
		"`doveconf -n` names the line."},
	{"dovecot-version", Warning, "Dovecot does not know some settings.",
		"saslguard is made for Dovecot 2.3 and 2.4.",
		"Upgrade Dovecot."},
	{"dovecot-asks", Error, "Nobody is refused by IMAP, POP3 or SMTP AUTH.",
		"Without auth_policy_server_url Dovecot asks nobody and reports nothing.",
		"`saslguard setup dovecot`."},
	{"dovecot-answer", Error, "auth: Error: policy(…): Policy server HTTP error.",
		"When its policy server does not answer well, Dovecot lets everybody in.",
		"Start saslguard, correct the address, or have Dovecot trust its certificate (`ssl_client_ca_file`)."},
	{"dovecot-credentials", Error, "saslguard_dovecot_unauthorized_total grows, and nobody is refused.",
		"Dovecot lets everybody in whose question was not answered.",
		"`auth_policy_server_api_header` as `dovecot.api_key`."},
	{"dovecot-nonce", Error, "The hashes of passwords can be guessed from the state.",
		"The nonce goes into the hash of every password that Dovecot sends.",
		"`openssl rand -hex 16`, the same on all hosts."},
	{"dovecot-nonce-same", Error, "An old password on a phone counts on each host anew; an owner under attack is not let in on another host.",
		"With another nonce the same password has another hash, and hosts cannot know that it was tried before.",
		"One `auth_policy_hash_nonce` on all hosts."},
	{"dovecot-hash", Warning, "The same CRAM-MD5 attempt counts once, however many passwords are tried.",
		"dovecot.nonce recognises the hash of \"no password sent\", and only with all three like Dovecot's.",
		"`dovecot.nonce`, `hash_mech` and `hash_truncate` as Dovecot's, or no `dovecot.nonce`."},
	{"dovecot-mechanism", Warning, "The same wrong password counts, or CRAM-MD5 guesses do not.",
		"A CRAM or SCRAM login sends no password, and cannot be told from the same wrong password again without the mechanism.",
		"`mech=%m` (2.4: `mech = %{mechanism}`) among `auth_policy_request_attributes`."},
	{"dovecot-attributes", Error, "Everybody passes; saslguard_dovecot_skipped_total grows.",
		"Without login, address and hash there is nothing to judge, without session attempts are confused with each other.",
		"The attributes of the shipped file."},
	{"dovecot-before", Error, "Guessers are refused too late: the password has been verified.",
		"Only a question before the authentication keeps a guess from being verified.",
		"`auth_policy_check_before_auth = yes`."},
	{"dovecot-after", Info, "Each login asks twice.",
		"The question after the authentication tells nothing new.",
		"`auth_policy_check_after_auth = no`."},
	{"dovecot-report", Error, "No score ever rises.",
		"Without reports saslguard never learns what became of an attempt.",
		"`auth_policy_report_after_auth = yes`."},
	{"dovecot-log-only", Error, "saslguard refuses, and the login goes on.",
		"With auth_policy_log_only Dovecot asks and does not listen.",
		"`auth_policy_log_only = no`; saslguard's own `mode: observe` tries things out."},
	{"dovecot-fail-open", Error, "Nobody can log in while saslguard restarts.",
		"With auth_policy_reject_on_fail saslguard is one more thing that can stop all logins.",
		"`auth_policy_reject_on_fail = no`."},
	{"dovecot-timeout", Warning, "Logins are slow while saslguard hangs; or saslguard is too often not waited for.",
		"saslguard answers within a second in any case; Postfix gives up after 10 s for all of it.",
		"`auth_policy_server_timeout_msecs = 2000` (2.4: `http_client_request_absolute_timeout = 2s` in `auth_policy`)."},
	{"dovecot-penalty", Warning, "The right password is refused after some wrong ones (454 by SMTP), and saslguard says nothing.",
		"Dovecot's own penalty comes before the policy: it delays a client's right password after its wrong ones, by up to 15 s, and Postfix gives up waiting.",
		"`mode = 0` for `anvil-auth-penalty`."},
	{"dovecot-nopassword", Error, "Every guess is a success: familiar clients appear that are guessers.",
		"Where every password is right, as on a proxy with nopassword, saslguard learns that guessers are owners. Policy belongs on one layer, the one that verifies.",
		"Ask on the hosts behind the proxy, and not on it."},
	{"dovecot-trusted", Warning, "A webmail is refused for what its users mistype.",
		"login_trusted_networks are yours, and tell the clients' addresses; saslguard has an allowlist of its own, and does not see Dovecot's.",
		"The same networks in `rules.allow_clients`."},
	{"dovecot-forged", Error, "Addresses are banned that never connected.",
		"Who is trusted can say to have any address, and so have anybody banned.",
		"Only your proxies and webmails there."},
	{"dovecot-attempts", Warning, "Everything is wired, and nothing happens.",
		"Dovecot has not read its settings again, or nobody comes.",
		"`doveadm reload`."},
}

var redisKinds = []Kind{
	{"redis-answers", Error, "saslguard health says degraded; hosts do not know of each other's bans.",
		"Without Redis every host decides by itself.",
		"Start Redis; correct `redis.addresses`, user and password."},
	{"redis-version", Error, "ERR unknown command, or a script fails.",
		"saslguard's scripts need Redis 6.2.",
		"Upgrade Redis."},
	{"redis-eviction", Error, "All bans are gone at once.",
		"An allkeys- policy drops any key when memory runs short: scores, or the ledger of all bans.",
		"`maxmemory-policy noeviction`."},
	{"redis-persistence", Warning, "After a restart of Redis bans are as they were some time ago.",
		"Hosts tell an empty Redis their bans again, but scores are lost, and an older state of Redis takes bans and unbans back.",
		"`appendonly yes`."},
	{"redis-memory", Warning, "New clients are not scored.",
		"A Redis that is full refuses what is new.",
		"More `maxmemory`, or fewer `redis.max_keys`."},
	{"redis-clock", Warning, "Bans begin or end at odd times.",
		"Scores decay by the clock of Redis; journals and bans made without it have that of the host.",
		"chrony or systemd-timesyncd on all hosts."},
	{"redis-password", Warning, "Nothing yet.",
		"Whoever has the password of Redis can ban and unban anybody.",
		"`chmod o=` of `redis.password_file`."},
}

var systemKinds = []Kind{
	{"unit", Warning, "After a reboot nobody is refused.",
		"Something has to start saslguard, and again when it dies.",
		"`systemctl enable --now saslguard`."},
	{"unit-socket", Info, "After a restart of saslguard Dovecot lets everybody in for up to a minute.",
		"Dovecot waits longer and longer after refused connections; a socket that systemd keeps open refuses none.",
		"`saslguard setup systemd/saslguard-dovecot.socket`."},
	{"firewall-unit", Error, "Banned clients still connect.",
		"Bans are kept in the kernel by an agent of its own.",
		"Its log has the reason."},
	{"firewall-rights", Error, "operation not permitted.",
		"Rules and sockets of the kernel can be changed with CAP_NET_ADMIN only.",
		"`AmbientCapabilities=CAP_NET_ADMIN` in its unit."},
	{"kernel", Warning, "The firewall agent does not start.",
		"Bans in the firewall are elements of sets of nf_tables.",
		"`modprobe nf_tables`."},
}
