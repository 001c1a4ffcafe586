package lab

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fakePolicy is a Postfix policy server that answers by a function and
// remembers what it was asked.
type fakePolicy struct {
	addr string

	mu    sync.Mutex
	asked []map[string]string
}

func startFakePolicy(t *testing.T, answer func(q map[string]string) string) *fakePolicy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakePolicy{addr: l.Addr().String()}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(conn, answer)
		}
	}()
	return f
}

func (f *fakePolicy) serve(conn net.Conn, answer func(q map[string]string) string) {
	defer conn.Close()
	q := map[string]string{}
	for s := bufio.NewScanner(conn); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), "="); ok {
			q[name] = value
			continue
		}
		f.mu.Lock()
		f.asked = append(f.asked, q)
		f.mu.Unlock()
		fmt.Fprintf(conn, "action=%s\n\n", answer(q))
		q = map[string]string{}
	}
}

// states lists the questions as "STATE address context".
func (f *fakePolicy) states() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, q := range f.asked {
		all = append(all, q["protocol_state"]+" "+q["client_address"]+" "+q["policy_context"])
	}
	return all
}

func (f *fakePolicy) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = nil
}

// restriction is the check_policy_service that asks this server.
func (f *fakePolicy) restriction(context string) string {
	return fmt.Sprintf("check_policy_service { inet:%s, timeout=3s, default_action=DUNNO, policy_context=%s }", f.addr, context)
}

// fakeAuthPolicy is a Dovecot policy server that refuses one login and
// remembers what it was told.
type fakeAuthPolicy struct {
	url string

	mu    sync.Mutex
	calls []map[string]any
}

func startFakeAuthPolicy(t *testing.T, refused string) *fakeAuthPolicy {
	t.Helper()
	f := &fakeAuthPolicy{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := map[string]any{"command": r.URL.Query().Get("command")}
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &call); err != nil {
			call["error"] = err.Error()
		}
		f.mu.Lock()
		f.calls = append(f.calls, call)
		f.mu.Unlock()
		if call["login"] == refused && call["command"] == "allow" {
			io.WriteString(w, `{"status":-1,"msg":"not you"}`)
			return
		}
		io.WriteString(w, `{"status":0,"msg":""}`)
	}))
	t.Cleanup(s.Close)
	f.url = s.URL
	return f
}

// settings are what makes Dovecot ask.
func (f *fakeAuthPolicy) settings() string {
	attributes := "auth_policy_request_attributes = login=%{requested_username} pwhash=%{hashed_password} remote=%{rip} device_id=%{client_id} protocol=%s session_id=%{session} mech=%m"
	if Dovecot24() {
		attributes = "auth_policy_request_attributes {\n  mech = %{mechanism}\n}"
	}
	return "auth_policy_server_url = " + f.url + `/
auth_policy_hash_nonce = lab
auth_policy_check_after_auth = no
` + attributes + "\n"
}

// of lists the calls about a login.
func (f *fakeAuthPolicy) of(login string) []map[string]any {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := slices.Clone(f.calls)
	return slices.DeleteFunc(calls, func(c map[string]any) bool { return c["login"] != login })
}
