package adversary

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// 300 guesses at once do not use up Dovecot's 100 connections to its policy server: an
// owner's login is asked about meanwhile and answered, and so is every guess.
func TestPolicyConnectionsAreNotUsedUp(t *testing.T) {
	t.Parallel()
	s := newSite(t, plan{})
	h := s.hosts[0]
	const atOnce, home, client = 300, "198.51.100.7", "203.0.113.1"
	var before, during []time.Duration
	for range 10 {
		before = append(before, s.mustEnter(h.imap, home, user(9)))
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			during = append(during, s.mustEnter(h.imap, home, user(9)))
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	began := time.Now()
	one := s.overAll(client, user(0), atOnce+20)
	s.attack(atOnce, one[:atOnce])
	s.attack(2, one[atOnce:])
	var many []guess
	for i, password := range wrong(user(1), "many", atOnce+30) {
		many = append(many, guess{h.imap, worldwide(i), user(1), password})
	}
	s.attack(atOnce, many[:atOnce])
	s.attack(4, many[atOnce:])
	close(stop)
	wg.Wait()
	added := func(q int) time.Duration { return max(0, quantile(during, q)-quantile(before, 50)) }
	s.exactly(row{
		Scenario: "300 guesses at once, one client", Guesses: len(one), Verified: s.verified(ofClient(client)), Banned: s.bannedAfter(began, client),
		Logins: len(during), P50: added(50), P99: added(99), Note: "an owner logs in meanwhile",
	}, 10)
	s.exactly(row{
		Scenario: "300 guesses at once, a client each, one account", Guesses: len(many), Verified: s.verified(ofUser(user(1))),
	}, 20)
	if n := strings.Count(h.dovecot.Log(), "policy: Policy server HTTP error"); n != 0 {
		t.Errorf("Dovecot got no answer %d times", n)
	}
	asked := s.metric(`saslguard_dovecot_requests_total{answer="`, `command="allow"}`)
	if logins := len(before) + len(during); asked < float64(logins+s.verified(ofClient(client))+20) {
		t.Errorf("Dovecot asked %v times only", asked)
	}
}

// metric sums the samples of a metric of all hosts whose lines begin and go on so.
func (s *site) metric(begin, then string) float64 {
	sum := 0.0
	for _, h := range s.hosts {
		for line := range strings.Lines(h.get("/metrics")) {
			if name, value, ok := strings.Cut(line, " "); ok && strings.HasPrefix(name, begin) && strings.Contains(name, then) {
				var n float64
				if _, err := fmt.Sscan(value, &n); err == nil {
					sum += n
				}
			}
		}
	}
	return sum
}

// The policy ports are asked by others than Postfix and Dovecot, who are on the same
// host: garbage, requests that never end, huge ones, forged reports. Owners log in
// meanwhile, and a guesser gets his ten.
func TestStrangersAtThePolicyPorts(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef"
	s := newSite(t, plan{
		args:    []string{"--set", "dovecot.api_key=" + key},
		dovecot: "auth_policy_server_api_header = X-API-Key: " + key + "\n",
	})
	h := s.hosts[0]
	const home, client, victim = "198.51.100.7", "203.0.113.1", "203.0.113.50"
	slow := 100 // a second
	if *long {
		slow = 800 // in five seconds more than either port takes
	}
	var before, during []time.Duration
	for range 10 {
		before = append(before, s.mustEnter(h.imap, home, user(9)))
	}
	stop := h.slowly(slow)
	forged := 0
	for i := range 60 {
		if h.forge(victim, i) == http.StatusUnauthorized {
			forged++
		}
	}
	if forged != 60 {
		t.Errorf("%d of 60 forged reports were refused", forged)
	}
	h.garbage(t)
	began := time.Now()
	all := s.overAll(client, user(0), 24)
	for i, g := range all {
		s.attack(1, []guess{g})
		during = append(during, s.mustEnter(h.imap, home, user(9)))
		if i%6 == 0 {
			h.garbage(t)
		}
	}
	stop()
	s.mustEnter(h.imap, victim, user(8))
	s.mustEnter(h.smtp, victim, user(8))
	added := func(q int) time.Duration { return max(0, quantile(during, q)-quantile(before, 50)) }
	s.exactly(row{
		Scenario: "garbage, slow and huge requests and forged reports meanwhile", Guesses: len(all),
		Verified: s.verified(ofClient(client)), Banned: s.bannedAfter(began, client),
		Logins: len(during), P50: added(50), P99: added(99), Note: "dovecot.api_key is set",
	}, 10)
}

// slowly opens so many connections every second on which a request begins and does not
// go on, and keeps them for five.
func (h *host) slowly(n int) (stop func()) {
	h.Helper()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		var held [][]net.Conn
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			held = append(held, h.beginAndStop(n))
			end := false
			select {
			case <-done:
				end = true
			case <-tick.C:
			}
			for len(held) > 5 || end && len(held) > 0 {
				for _, c := range held[0] {
					c.Close()
				}
				held = held[1:]
			}
			if end {
				return
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

func (h *host) beginAndStop(n int) (held []net.Conn) {
	for i := range n {
		addr, begin := h.dovecotAddr, "POST /?command=allow HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
		if i%2 == 1 {
			addr, begin = h.postfixAddr, "request=smtpd_access_policy\n"
		}
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			continue // as many as there is room for
		}
		c.Write([]byte(begin)) // it may be hung up on already
		held = append(held, c)
	}
	return held
}

// forge reports a failed login without the key, and returns the status.
func (h *host) forge(client string, i int) int {
	h.Helper()
	body := fmt.Sprintf(`{"device_id":"","login":"x%d","mech":"PLAIN","protocol":"imap","pwhash":"%03x","remote":%q,"session_id":"","success":false,"policy_reject":false,"tls":false}`, i, i, client)
	res, err := (&http.Client{Timeout: 10 * time.Second}).Post("http://"+h.dovecotAddr+"/?command=report", "application/json", strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// garbage says what neither Postfix nor Dovecot says, and wants no more than that it
// is hung up on, or answered.
func (h *host) garbage(t *testing.T) {
	t.Helper()
	noise := bytes.Repeat([]byte{0, 0xff, '\n', '=', '{'}, 1<<10)
	for _, said := range []struct {
		to   string
		what []byte
	}{
		{h.postfixAddr, noise},
		{h.postfixAddr, bytes.Repeat([]byte("a=b\n"), 1<<15)},
		{h.postfixAddr, append(bytes.Repeat([]byte("x"), 1<<18), "\n\n"...)},
		{h.postfixAddr, []byte("GET / HTTP/1.1\r\n\r\n")},
		{h.dovecotAddr, noise},
		{h.dovecotAddr, []byte("POST /?command=allow HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n" + strings.Repeat("{", 1<<17))},
		{h.dovecotAddr, []byte("POST /?command=report HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n" + strings.Repeat("[", 1<<17))},
		{h.dovecotAddr, []byte("request=smtpd_access_policy\n\n")},
	} {
		c, err := net.DialTimeout("tcp", said.to, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		c.Write(said.what) // it may be hung up on before all is said
		c.(*net.TCPConn).CloseWrite()
		if answer, err := io.ReadAll(io.LimitReader(c, 1<<16)); err == nil && len(answer) == 1<<16 {
			t.Error("there is no end to the answer")
		}
		c.Close()
	}
}

// quantile is a percentile.
func quantile(all []time.Duration, q int) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)-1)*q/100]
}
