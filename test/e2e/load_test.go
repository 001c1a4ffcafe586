package e2e

import (
	"bufio"
	"bytes"
	"context"
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

// load asks a host as Postfix and Dovecot do, on kept connections, as fast as
// it is answered, for clients that have done nothing. It keeps how long each
// answer took, and what was wrong.
type load struct {
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu    sync.Mutex
	took  []time.Duration
	wrong []string
}

func startLoad(t *testing.T, postfix, dovecot string) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{stop: cancel}
	for i := range 2 {
		l.wg.Go(func() { l.askPostfix(ctx, postfix, i) })
		l.wg.Go(func() { l.askDovecot(ctx, dovecot, i) })
	}
	t.Cleanup(func() { cancel(); l.wg.Wait() })
	return l
}

// mail paces a worker: some hundred attempts a second are a large host's.
const pace = 5 * time.Millisecond

func (l *load) note(began time.Time, answer, want string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, time.Since(began))
	if err != nil {
		l.wrong = append(l.wrong, err.Error())
	} else if answer != want {
		l.wrong = append(l.wrong, answer)
	}
}

func (l *load) askPostfix(ctx context.Context, addr string, worker int) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		l.note(time.Now(), "", "", err)
		return
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for n := 0; ctx.Err() == nil; n++ {
		began := time.Now()
		_ = conn.SetDeadline(began.Add(10 * time.Second))
		_, err := fmt.Fprintf(conn, "request=smtpd_access_policy\nprotocol_state=CONNECT\nclient_address=100.%d.%d.%d\nclient_port=%d\npolicy_context=submission\n\n", 65+worker, n/250%250, n%250, 1024+n%60000)
		var answer string
		if err == nil {
			answer, err = r.ReadString('\n')
		}
		if err == nil {
			_, err = r.ReadString('\n')
		}
		l.note(began, answer, "action=DUNNO\n", err)
		if err != nil {
			return
		}
		time.Sleep(pace)
	}
}

func (l *load) askDovecot(ctx context.Context, addr string, worker int) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for n := 0; ctx.Err() == nil; n++ {
		attempt := fmt.Sprintf(`"device_id":"","login":"owner%d@lab.test","mech":"PLAIN","protocol":"imap","pwhash":"0%03x","remote":"2001:db8:%x:%x::1","session_id":"%d-%d","tls":false`,
			n, n%4096, worker+1, n%60000, worker, n)
		began := time.Now()
		answer, err := post(client, "http://"+addr+"/?command=allow", "{"+attempt+"}")
		l.note(began, answer, `{"status":0,"msg":""}`, err)
		began = time.Now()
		answer, err = post(client, "http://"+addr+"/?command=report", "{"+attempt+`,"success":true,"policy_reject":false}`)
		l.note(began, answer, `{"status":0,"msg":""}`, err)
		time.Sleep(pace)
	}
}

func post(client *http.Client, url, body string) (string, error) {
	res, err := client.Post(url, "application/json", bytes.NewBufferString(body))
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return string(answer), err
}

// phase returns what came since the last call: how many answers, the slowest
// one, and whatever was wrong.
func (l *load) phase() (n int, p99, worst time.Duration, wrong []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	took, wrong := l.took, l.wrong
	l.took, l.wrong = nil, nil
	if len(took) == 0 {
		return 0, 0, 0, wrong
	}
	slices.Sort(took)
	return len(took), took[len(took)*99/100], took[len(took)-1], wrong
}

// check prints what came since the last call, and wants every answer right, and
// none slower than it may be: the deadline for Redis, and what a busy machine
// adds. Both are far below Postfix's and Dovecot's patience.
func (l *load) check(t *testing.T, phase string, within time.Duration) {
	t.Helper()
	n, p99, worst, wrong := l.phase()
	t.Logf("%-28s %6d answers, p99 %v, slowest %v", phase, n, p99.Round(time.Microsecond), worst.Round(time.Microsecond))
	if n == 0 || worst > within {
		t.Errorf("%s: %d answers, the slowest took %s, it may take %s", phase, n, worst, within)
	}
	if len(wrong) > 0 {
		t.Errorf("%s: %d wrong answers, such as %s", phase, len(wrong), strings.TrimSpace(wrong[0]))
	}
}
