// Package doctor looks at a mail host and says what of saslguard is wired, what
// is wrong and what is missing, with the line that mends it. It reads what
// Postfix's postconf(1) and Dovecot's doveconf(1) print, saslguard's own
// configuration, what the running saslguard says of itself, and Redis.
//
// The way of a finding: look*.go gather facts, which is all that touches the
// machine; check*.go hold them against each other, and are functions of facts;
// kinds.go has every finding there can be, with its severity and why it matters.
//
// It changes nothing. It asks the policy sockets one question each, about a
// client that is nobody, so that what is said of them is seen and not guessed.
//
// On failure: what cannot be seen (a program that is not there, a file that only
// root may read, a Redis that is away) is a finding like any other, and the rest
// is looked at nevertheless. Every program, connection and read has a deadline
// and a bound.
package doctor

import (
	"context"
	"time"

	"github.com/saslguard/saslguard/configs"
)

// Options are what a Run looks at. The zero value is an installed saslguard
// beside an installed Postfix and Dovecot.
type Options struct {
	// Config is saslguard's configuration; nil if it cannot be loaded, and then
	// ConfigProblem says why and the defaults stand in for it.
	Config        *configs.Config
	ConfigProblem error
	// Version is this program's, held against that of the running one.
	Version string

	// Socket is the control socket of the running saslguard, and SocketProblem why
	// none was found, which says where it was looked for.
	Socket        string
	SocketProblem error

	// PostfixConfig is Postfix's configuration directory, DovecotConfig Dovecot's
	// file; "" is the programs' own.
	PostfixConfig, DovecotConfig string
	// Postconf and Doveconf are the programs that print the settings; "" looks
	// where systems put them, then in PATH.
	Postconf, Doveconf string

	// Fingerprint is that of the nonce on another host, as a Run printed it
	// there; "" compares with none.
	Fingerprint string
	// Session is the address of the administrator's own session, for the
	// allowlist; "" is none.
	Session string
}

// deadline is for all that a Run does; each step has a shorter one of its own.
const deadline = time.Minute

// Run looks at everything and returns what it found, the worst first.
func Run(ctx context.Context, o Options) *Report {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	h := look(ctx, o)
	r := &Report{Version: o.Version, At: h.at}
	for _, check := range []func(*Report, *host){
		checkConfig, checkRunning, checkFigures, checkPorts, checkState,
		checkPostfix, checkQuestions, checkDovecot, checkNonce, checkPassdbs, checkTrusted, checkTogether,
		checkLogs, checkControl, checkCluster, checkNames, checkRedis, checkUnits, checkAgent, checkKernel,
	} {
		check(r, h)
	}
	r.sort()
	return r
}

// host is what was seen of this machine.
type host struct {
	o      Options
	at     time.Time
	config *configs.Config // never nil

	postfix *postfix
	dovecot *dovecot
	running *running
	ports   []taken
	redis   *redisFacts // nil: not configured
	state   *stateFacts
	control controlFacts
	units   *unitFacts
	kernel  kernelFacts
}

// look gathers the facts.
func look(ctx context.Context, o Options) *host {
	h := &host{o: o, at: time.Now(), config: o.Config}
	if h.config == nil {
		h.config = configs.Default()
	}
	h.postfix = lookAtPostfix(ctx, o.Postconf, o.PostfixConfig)
	h.dovecot = lookAtDovecot(ctx, o.Doveconf, o.DovecotConfig)
	h.postfix.ask(ctx, h.config)
	h.dovecot.ask(ctx)
	h.running = lookAtRunning(ctx, h.config.Admin.Listen)
	h.ports = lookAtPorts(h.config)
	h.state = lookAtState(h.config.StateDirectory)
	h.control = lookAtControl(ctx, o)
	if h.config.Redis.Enabled() && o.Config != nil {
		h.redis = lookAtRedis(ctx, h.config.Redis)
	}
	h.units = lookAtUnits(ctx)
	h.kernel = lookAtKernel()
	return h
}
