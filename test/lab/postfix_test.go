package lab

import (
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"testing"
)

// startMail starts a Postfix that asks policy and a Dovecot behind it.
func startMail(t *testing.T, policy *fakePolicy) (*Postfix, *Dovecot) {
	t.Helper()
	Require(t)
	d := StartDovecot(t, DovecotOptions{Users: users})
	p := StartPostfix(t, PostfixOptions{
		SASLPath:           d.SASLPath,
		ClientRestrictions: policy.restriction("submission"),
		MXRestrictions:     policy.restriction("mx"),
	})
	return p, d
}

func dunno(map[string]string) string { return "DUNNO" }

func TestPostfixLogins(t *testing.T) {
	p, d := startMail(t, startFakePolicy(t, dunno))
	var wg sync.WaitGroup
	n := 0
	for _, m := range []Mechanism{Plain, LoginMech, CRAMMD5, SCRAMSHA256} {
		for name, login := range map[string]Login{"xclient": p.SMTPLogin(m), "proxy": p.SMTPProxyLogin(m)} {
			for _, client := range []netip.Addr{{}, client4, client6} {
				n++
				wg.Go(func() {
					for password, code := range map[string]int{"secret": 235, "wrong": 535} {
						r, err := login(client, "alice@lab.test", password)
						if err != nil || r.Code != code || r.Accepted != (code == 235) || r.Stage != StageAuth {
							t.Errorf("%s %s from %v with %q: %+v, %v; want %d", name, m, client, password, r, err, code)
						}
					}
				})
			}
		}
	}
	wg.Wait()
	if got := d.Verified(t, "alice@lab.test"); got != 2*n {
		t.Errorf("Verified = %d, want %d", got, 2*n)
	}
	for _, client := range []string{"203.0.113.9", "2001:db8::1"} {
		if err := p.WaitLog("warning: unknown["+client+"]: SASL PLAIN authentication failed", logWithin); err != nil {
			t.Error(err)
		}
		if d.VerifiedWhere(t, func(_, from string) bool { return from == client }) == 0 {
			t.Errorf("Dovecot has not seen Postfix's client %s", client)
		}
	}
}

// After XCLIENT the policy server is asked again, and not in the state
// CONNECT. Behind the PROXY protocol there is one question, as in the field.
func TestPostfixAsksThePolicyServer(t *testing.T) {
	policy := startFakePolicy(t, dunno)
	p, _ := startMail(t, policy)
	for _, c := range []struct {
		name   string
		login  Login
		client netip.Addr
		want   []string
	}{
		{"direct", p.SMTPLogin(Plain), netip.Addr{}, []string{"CONNECT 127.0.0.1 submission"}},
		{"xclient", p.SMTPLogin(Plain), client4, []string{"CONNECT 127.0.0.1 submission", "XCLIENT 203.0.113.9 submission"}},
		{"xclient", p.SMTPLogin(Plain), client6, []string{"CONNECT 127.0.0.1 submission", "XCLIENT 2001:db8::1 submission"}},
		{"proxy", p.SMTPProxyLogin(Plain), client4, []string{"CONNECT 203.0.113.9 submission"}},
		{"proxy", p.SMTPProxyLogin(Plain), client6, []string{"CONNECT 2001:db8::1 submission"}},
	} {
		policy.forget()
		if r, err := c.login(c.client, "alice@lab.test", "secret"); err != nil || !r.Accepted {
			t.Errorf("%s: %+v, %v", c.name, r, err)
		}
		if got := policy.states(); !slices.Equal(got, c.want) {
			t.Errorf("%s from %v: asked %q, want %q", c.name, c.client, got, c.want)
		}
	}
}

// A 421 is what the client gets in place of the greeting, of the first or of
// the one after XCLIENT, and then Postfix hangs up. REJECT leaves a session in
// which nothing is possible.
func TestPostfixRefusals(t *testing.T) {
	policy := startFakePolicy(t, func(q map[string]string) string {
		switch q["client_address"] {
		case "203.0.113.9":
			return "421 4.7.0 go away"
		case "2001:db8::1":
			return "REJECT go away"
		}
		return "DUNNO"
	})
	p, d := startMail(t, policy)
	for _, c := range []struct {
		login  Login
		client netip.Addr
		stage  Stage
		code   int
		text   string
	}{
		{p.SMTPLogin(Plain), client4, StageXClient, 421, "4.7.0 <unknown[203.0.113.9]>: Client host rejected: go away"},
		{p.SMTPLogin(Plain), client6, StageXClient, 554, "5.7.1 <unknown[2001:db8::1]>: Client host rejected: go away"},
		{p.SMTPProxyLogin(Plain), client4, StageGreeting, 421, "4.7.0 <unknown[203.0.113.9]>: Client host rejected: go away"},
		{p.SMTPProxyLogin(Plain), client6, StageGreeting, 554, "5.7.1 <unknown[2001:db8::1]>: Client host rejected: go away"},
	} {
		r, err := c.login(c.client, "alice@lab.test", "secret")
		if err != nil || r.Accepted || r.Stage != c.stage || r.Code != c.code || r.Text != c.text {
			t.Errorf("%+v, %v; want %d %s at %s", r, err, c.code, c.text, c.stage)
		}
	}

	hangsUp := func(client netip.Addr) bool {
		s, _, err := DialSMTP(p.Submission, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.XClient(client, "PORT=4321", "NAME=[UNAVAILABLE]"); err != nil {
			t.Fatal(err)
		}
		r, err := s.Hello("client.lab.test")
		if err == nil && r.Code != 503 {
			t.Errorf("%v: EHLO after the refusal gets %v", client, r)
		}
		return err != nil
	}
	if !hangsUp(client4) {
		t.Error("Postfix does not hang up after 421")
	}
	if hangsUp(client6) {
		t.Error("Postfix hangs up after REJECT")
	}
	if got := d.Verified(t, ""); got != 0 {
		t.Errorf("%d passwords of refused clients were verified", got)
	}
}

func TestPostfixTakesMail(t *testing.T) {
	policy := startFakePolicy(t, dunno)
	p, _ := startMail(t, policy)
	queued := regexp.MustCompile(`^2\.0\.0 Ok: queued as ([0-9A-F]+)$`)
	sent := func(s *SMTP, from, to string) {
		t.Helper()
		defer s.Quit()
		r, err := s.Send(from, to, "Hello.\n.a dot\n")
		id := queued.FindStringSubmatch(r.Text)
		if err != nil || r.Code != 250 || id == nil {
			t.Errorf("%s to %s: %v, %v", from, to, r, err)
			return
		}
		if err := p.WaitLog("]: "+id[1]+": to=<"+to+">", logWithin); err != nil {
			t.Error(err)
		}
	}
	open := func(server netip.AddrPort) *SMTP {
		t.Helper()
		s, greeting, err := DialSMTP(server, nil)
		if err != nil || greeting.Code != 220 {
			t.Fatalf("%v, %v", greeting, err)
		}
		if r, err := s.XClient(client4); err != nil || r.Code != 220 {
			t.Fatalf("%v, %v", r, err)
		}
		if r, err := s.Hello("client.lab.test"); err != nil || r.Code != 250 {
			t.Fatalf("%v, %v", r, err)
		}
		return s
	}

	policy.forget()
	sent(open(p.MX), "someone@example.com", "alice@lab.test")
	if got, want := policy.states(), []string{"RCPT 203.0.113.9 mx"}; !slices.Equal(got, want) {
		t.Errorf("the MX asked %q, want %q", got, want)
	}

	s := open(p.Submission)
	if r, err := s.Send("alice@lab.test", "x@example.com", ""); err != nil || r.Code != 554 {
		t.Errorf("relaying without AUTH: %v, %v", r, err)
	}
	s.Quit()
	s = open(p.Submission)
	if r, err := s.Auth(Plain, "alice@lab.test", "secret"); err != nil || r.Code != 235 {
		t.Errorf("%v, %v", r, err)
	}
	sent(s, "alice@lab.test", "x@example.com")
}

func TestPostfixHardErrorLimit(t *testing.T) {
	d := StartDovecot(t, DovecotOptions{Users: users})
	p := StartPostfix(t, PostfixOptions{SASLPath: d.SASLPath, HardErrorLimit: 2})
	s, _, err := DialSMTP(p.Submission, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Hello("client.lab.test"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{535, 535, 421} {
		if r, err := s.Auth(Plain, "alice@lab.test", "wrong"); err != nil || r.Code != want {
			t.Errorf("%v, %v; want %d", r, err, want)
		}
	}
}

func TestPostfixReloadAndStop(t *testing.T) {
	p, _ := startMail(t, startFakePolicy(t, dunno))
	for range 3 {
		if err := p.Reload(); err != nil {
			t.Error(err)
		}
		if r, err := p.SMTPLogin(Plain)(client4, "alice@lab.test", "secret"); err != nil || !r.Accepted {
			t.Errorf("%+v, %v", r, err)
		}
	}
	s, _, err := DialSMTP(p.Submission, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if members := groupMembers(p.PID()); len(members) < 2 {
		t.Errorf("Postfix's processes are %v; are they in its group?", members)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if left := groupMembers(p.PID()); len(left) > 0 {
		t.Errorf("Postfix's processes %v are left", left)
	}
}

// The tests of a parallel attack open this many sessions at once.
func TestHundredSessionsAtOnce(t *testing.T) {
	const n = 100
	p, d := startMail(t, startFakePolicy(t, dunno))
	var wg sync.WaitGroup
	for _, login := range []Login{p.SMTPLogin(Plain), d.IMAPLogin(NoMechanism), d.POP3Login(NoMechanism)} {
		for range n {
			wg.Go(func() {
				if r, err := login(client4, "alice@lab.test", "wrong"); err != nil || r.Accepted || r.Stage != StageAuth {
					t.Errorf("%+v, %v", r, err)
				}
			})
		}
		wg.Wait()
	}
	if got := d.Verified(t, ""); got != 3*n {
		t.Errorf("Verified = %d, want %d", got, 3*n)
	}
}
