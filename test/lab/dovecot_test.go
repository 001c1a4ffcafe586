package lab

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
)

var users = map[string]string{
	"alice@lab.test": "secret",
	"bob@lab.test":   `b:o"b\ ü`,
}

func TestDovecotLogins(t *testing.T) {
	d := StartDovecot(t, DovecotOptions{Users: users})
	logins := map[string]Login{
		"imap":               d.IMAPLogin(NoMechanism),
		"imap plain":         d.IMAPLogin(Plain),
		"imap login":         d.IMAPLogin(LoginMech),
		"imap cram-md5":      d.IMAPLogin(CRAMMD5),
		"imap scram-sha-1":   d.IMAPLogin(SCRAMSHA1),
		"imap scram-sha-256": d.IMAPLogin(SCRAMSHA256),
		"pop3":               d.POP3Login(NoMechanism),
		"pop3 plain":         d.POP3Login(Plain),
		"pop3 scram-sha-256": d.POP3Login(SCRAMSHA256),
	}
	clients := []netip.Addr{{}, client4, client6}
	// Side by side: Dovecot answers failures on a half-second clock.
	var wg sync.WaitGroup
	for name, login := range logins {
		for _, client := range clients {
			wg.Go(func() {
				try := func(user, password string, want bool) {
					r, err := login(client, user, password)
					if err != nil || r.Accepted != want || r.Stage != StageAuth {
						t.Errorf("%s from %v, %s with %q: %+v, %v; want accepted %v", name, client, user, password, r, err, want)
					}
				}
				try("alice@lab.test", "secret", true)
				try("bob@lab.test", users["bob@lab.test"], true)
				try("alice@lab.test", "wrong", false)
			})
		}
	}
	wg.Wait()

	each := len(logins) * len(clients)
	for user, want := range map[string]int{
		"alice@lab.test": 2 * each, "bob@lab.test": each, "": 3 * each, "nobody@lab.test": 0,
	} {
		if got := d.Verified(t, user); got != want {
			t.Errorf("Verified(%q) = %d, want %d", user, got, want)
		}
	}
	for _, client := range []string{"203.0.113.9", "2001:db8::1"} {
		if err := d.WaitLog("rip="+client+",", logWithin); err != nil {
			t.Error(err)
		}
	}
}

func TestDovecotProxyV2(t *testing.T) {
	d := StartDovecot(t, DovecotOptions{Users: users})
	for _, client := range []netip.Addr{client4, client6} {
		s, _, err := DialIMAP(d.IMAPProxy, ProxyV2(netip.AddrPortFrom(client, 4242), d.IMAPProxy))
		if err != nil {
			t.Fatal(err)
		}
		if result, err := s.Login("alice@lab.test", "secret"); err != nil || !strings.HasPrefix(result, "OK") {
			t.Errorf("%v: %q, %v", client, result, err)
		}
		if err := s.Logout(); err != nil {
			t.Error(err)
		}
		if err := d.WaitLog("rip="+client.String()+",", logWithin); err != nil {
			t.Error(err)
		}
	}
}

func TestDovecotAsksThePolicyServer(t *testing.T) {
	policy := startFakeAuthPolicy(t, "carol@lab.test")
	d := StartDovecot(t, DovecotOptions{
		Users: map[string]string{"alice@lab.test": "secret", "bob@lab.test": "secret", "carol@lab.test": "secret"},
		Extra: policy.settings(),
	})
	login := func(l Login, client netip.Addr, user, password string, want bool) Result {
		t.Helper()
		r, err := l(client, user, password)
		if err != nil || r.Accepted != want {
			t.Errorf("%s: %+v, %v; want accepted %v", user, r, err, want)
		}
		return r
	}
	login(d.IMAPLogin(NoMechanism), client4, "alice@lab.test", "secret", true)
	login(d.POP3Login(CRAMMD5), client6, "bob@lab.test", "wrong", false)
	if r := login(d.IMAPLogin(NoMechanism), client6, "carol@lab.test", "secret", false); !strings.Contains(r.Text, "[ALERT] not you") {
		t.Errorf("the refusal reads %q", r.Text)
	}

	for _, c := range []struct {
		user, remote, protocol, mech string
		success, reject              bool
		verified                     int
	}{
		{"alice@lab.test", "203.0.113.9", "imap", "PLAIN", true, false, 1},
		{"bob@lab.test", "2001:db8::1", "pop3", "CRAM-MD5", false, false, 1},
		{"carol@lab.test", "2001:db8::1", "imap", "PLAIN", false, true, 0},
	} {
		calls := policy.of(c.user)
		if len(calls) != 2 || calls[0]["command"] != "allow" || calls[1]["command"] != "report" {
			t.Errorf("%s: calls %v, want an allow and a report", c.user, calls)
			continue
		}
		for _, call := range calls {
			if call["remote"] != c.remote || call["protocol"] != c.protocol || call["mech"] != c.mech {
				t.Errorf("%s: %v, want %s %s %s", c.user, call, c.remote, c.protocol, c.mech)
			}
		}
		if report := calls[1]; report["success"] != c.success || report["policy_reject"] != c.reject {
			t.Errorf("%s: report %v, want success %v, policy_reject %v", c.user, report, c.success, c.reject)
		}
		if got := d.Verified(t, c.user); got != c.verified {
			t.Errorf("%s: %d passwords verified, want %d", c.user, got, c.verified)
		}
	}
}

func TestDovecotReloadAndStop(t *testing.T) {
	d := StartDovecot(t, DovecotOptions{Users: users})
	login := d.IMAPLogin(NoMechanism)
	for range 2 {
		if r, err := login(client4, "alice@lab.test", "secret"); err != nil || !r.Accepted {
			t.Errorf("%+v, %v", r, err)
		}
		if err := d.Reload(); err != nil {
			t.Error(err)
		}
	}
	// A session that is open must not keep Dovecot from stopping.
	s, _, err := DialIMAP(d.IMAP, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Login("alice@lab.test", "secret"); err != nil {
		t.Error(err)
	}
	if members := groupMembers(d.PID()); len(members) < 4 {
		t.Errorf("Dovecot's processes are %v; are they in its group?", members)
	}
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	if left := groupMembers(d.PID()); len(left) > 0 {
		t.Errorf("Dovecot's processes %v are left", left)
	}
}
