package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/lab"
)

// canary is a secret that no output may repeat. Its letters and digits are a word of
// their own, so that nothing else looks like it.
func canary(name string) string { return "canary0" + name + "7f3a9c2e5b81d604" }

// canaries are all of them, as they could be written.
func canaries() []string {
	var all []string
	for _, name := range []string{
		"apikey", "basic", "nonce", "redispass", "sentinel", "hashkey", "token", "tokenfile", "smtp", "generic", "hookurl", "hooksecret", "urlsfile", "short",
	} {
		all = append(all, canary(name))
	}
	return append(all, base64.StdEncoding.EncodeToString([]byte("dovecot:"+canary("basic"))))
}

// overheard collects what saslguard says to anybody.
type overheard struct {
	*testing.T
	text map[string]string
}

func (o *overheard) hear(where, text string) {
	o.Helper()
	o.text[where] += text
	for _, c := range canaries() {
		if i := strings.Index(text, c); i >= 0 {
			o.Errorf("%s repeats a secret: …%s…", where, text[max(0, i-80):min(len(text), i+len(c)+40)])
		}
	}
}

// command runs a command, whatever its exit code.
func (o *overheard) command(bin string, env []string, args ...string) string {
	o.Helper()
	ctx, cancel := context.WithTimeout(o.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Env = append(os.Environ(), env...)
	out, _ := cmd.CombinedOutput() // most of them are to fail
	o.hear("saslguard "+strings.Join(args[:min(2, len(args))], " "), string(out))
	return string(out)
}

// send sends octets as they are and listens to the answer.
func (o *overheard) send(addr, request string) {
	o.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		o.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		o.Log(err) // hung up on already
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn) // what came before an error counts
	o.hear("answer of "+addr, string(answer))
}

// TestSecretsAreNeverTold puts secrets wherever there may be one, has everything go
// wrong that uses them, and reads all that saslguard says.
func TestSecretsAreNeverTold(t *testing.T) {
	t.Parallel()
	o := &overheard{t, map[string]string{}}
	p := newProgram(t)
	dir := filepath.Dir(p.config)
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	redis := lab.StartRedis(t, lab.RedisOptions{})
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://127.0.0.1:1/"+canary("hookurl"))
		w.WriteHeader(http.StatusFound)
		fmt.Fprintln(w, r.URL)
	}))
	t.Cleanup(hook.Close)
	control := fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t))
	shut := fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t)) // nobody is there
	config := func(level string) string {
		return fmt.Sprintf(`state_directory: %s
log: {level: %s, format: json}
mode: enforce
rules: {trap_accounts: [trap]}
postfix: {listen: [%q]}
dovecot: {listen: [%q], api_key: %s, user: dovecot, password: %s, nonce: %s}
redis: {addresses: [%q], user: nobody, password: %s, hash_key: %s}
admin:
  listen: %q
  control:
    socket: %q
    listen: [%q]
    tokens:
      - {name: one, role: read, token: %s}
      - {name: two, role: operate, token_file: %s}
notify:
  urls: ["smtp://user:%s@%s/?from=a@example.org&to=b@example.org", "generic+http://%s/%s"]
  urls_file: %s
  webhook: {url: "%s/%s", secret: %s}
`, p.state, level, p.postfix, p.dovecot, canary("apikey"), canary("basic"), canary("nonce"),
			redis.Addr, canary("redispass"), canary("hashkey"), p.admin, p.control, control,
			canary("token"), file("token", canary("tokenfile")+"\n"), canary("smtp"), shut, shut, canary("generic"),
			file("urls", "generic+http://"+shut+"/"+canary("urlsfile")+"\n"), hook.URL, canary("hookurl"), canary("hooksecret"))
	}
	if err := os.WriteFile(p.config, []byte(config("debug")), 0o600); err != nil {
		t.Fatal(err)
	}
	proc := p.start(t)

	wrongDovecot(o, p.dovecot)
	wrongControl(o, control)
	for _, url := range []string{"http://" + p.admin + "/metrics", "http://" + p.admin + "/healthz"} {
		res, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		o.hear(url, string(body))
	}
	// The trap has brought a ban, and the ban notifications that nobody takes.
	for _, line := range []string{`"msg":"banned"`, "Redis cannot be used", "without the right credentials", "urls[0] smtp", "webhook"} {
		if _, err := proc.WaitLine(line, 20*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(p.config, []byte(config("debug")+"log_: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := proc.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if _, err := proc.WaitLine("the old configuration goes on", 15*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.config, []byte(config("info")), 0o600); err != nil {
		t.Fatal(err)
	}
	shown := o.command(p.bin, nil, "config", "show", "--config", p.config)
	if got := strings.Count(shown, "(hidden)"); got != 10 {
		t.Errorf("config show hides %d values, want 10:\n%s", got, shown)
	}
	for _, args := range [][]string{
		{"config", "check", p.config}, {"notify", "test", "--config", p.config}, {"doctor", "--config", p.config},
		{"status", "--socket", p.control}, {"status", "--server", "http://" + control, "--token-file", filepath.Join(dir, "urls")},
		{"audit", "--socket", p.control}, {"health", "--config", p.config},
	} {
		o.command(p.bin, nil, args...)
	}
	wrongValues(o, p.bin, dir)
	stopped(t, proc)
	o.hear("the log", proc.Output())
}

// wrongDovecot asks as a Dovecot that is wrongly configured, and as nobody does.
func wrongDovecot(o *overheard, addr string) {
	post := func(headers, command, body string) {
		o.send(addr, fmt.Sprintf("POST /?command=%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", command, headers, len(body), body))
	}
	key := "X-API-Key: " + canary("apikey") + "\r\n"
	basic := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("dovecot:"+canary("basic"))) + "\r\n"
	post("X-API-Key: wrong\r\n", "allow", "{}")
	post(key, "allow", `{"login": `)
	post(basic, "allow", `{"login": 1}`)
	post(key, "nonsense", "{}")
	post(key+"X-Long: "+strings.Repeat("a", 10_000)+"\r\n", "allow", "{}")
	o.send(addr, "NONSENSE /?command=allow\r\n"+key+"\r\n")
	o.send(addr, key)
	post(key, "report", `{"login":"trap","remote":"203.0.113.7","pwhash":"0ccf","protocol":"imap","mech":"PLAIN","success":false,"policy_reject":false,"tls":false}`)
}

// wrongControl asks the control API as one may not.
func wrongControl(o *overheard, addr string) {
	for _, request := range []string{
		"GET /v1/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + canary("short") + "\r\nConnection: close\r\n\r\n",
		"GET /v1/nothing HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + canary("token") + "\r\nConnection: close\r\n\r\n",
		"POST /v1/bans HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + canary("token") + "\r\nConnection: close\r\nContent-Length: 1\r\n\r\n{",
		"GET /v1/status HTTP/1.1\r\nAuthorization: Bearer " + canary("tokenfile") + "\r\n\r\n",
		"Authorization: Bearer " + canary("tokenfile") + "\r\n\r\n",
	} {
		o.send(addr, request)
	}
}

// wrongValues writes secrets that are not allowed, where they are allowed and
// elsewhere: what is said of them must not repeat them.
func wrongValues(o *overheard, bin, dir string) {
	short := canary("short")
	for i, text := range []string{
		"dovecot: {api_key: \"" + short + " with blanks\"}",
		"dovecot: {api_key: [" + short + "]}",
		"dovecot: {password: " + short + "}",
		"dovecot: {nonce: {a: " + short + "}}",
		"redis: {addresses: [\"127.0.0.1:1\"], hash_key: \"" + short[:12] + "\"}",
		"redis: {password: " + short + ", password_file: " + dir + "/urls, addresses: [\"127.0.0.1:1\"]}",
		"redis: {sentinel_password: " + canary("sentinel") + "}",
		"notify: {urls: [\"" + short + "\"]}",
		"notify: {urls: [\"" + short + "://x:y@" + short + "/%zz\"]}",
		"notify: {urls: {a: \"smtp://" + short + "\"}}",
		"notify: {urls: \"smtp://x:" + short + "@127.0.0.1/\"}",
		"notify: {webhook: {url: \"ftp://" + short + "/\", secret: \"" + short + "\"}}",
		"notify: {webhook: {url: \"https://%zz" + short + "\", secret: x}}",
		"admin: {control: {listen: [\"127.0.0.1:4003\"], tokens: [{name: a, role: read, token: \"" + short[:19] + "\"}]}}",
		"admin: {control: {listen: [\"127.0.0.1:4003\"], tokens: [{name: a, role: read, token: \"" + short + "\x7f\"}]}}",
		"admin: {control: {tokens: \"" + short + "\"}}",
	} {
		path := filepath.Join(dir, fmt.Sprintf("wrong%d.yaml", i))
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			o.Fatal(err)
		}
		out := o.command(bin, nil, "config", "check", path)
		for _, part := range []string{short[:12], short[:19]} {
			if strings.Contains(out, part) {
				o.Errorf("%s is answered with a part of the secret:\n%s", text, out)
			}
		}
	}
	for _, variable := range []string{"REDIS_HASH_KEY", "ADMIN_CONTROL_TOKENS", "NOTIFY_URLS", "DOVECOT_API_KEY", "NOTIFY_WEBHOOK_URL"} {
		o.command(bin, []string{"SASLGUARD_" + variable + "=" + short + " "}, "config", "check", "--config", dir+"/token")
		o.command(bin, []string{"SASLGUARD_" + variable + "=" + short + " "}, "config", "show")
	}
	o.command(bin, nil, "config", "show", "--set", "redis.pasword="+short)
	o.command(bin, nil, "config", "show", "--set", "redis.hash_key="+short+"\n")
}

// TestModesDoNotDependOnTheUmask holds what docs/security.md says of files and sockets.
func TestModesDoNotDependOnTheUmask(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.write(t, "maillog: {files: ["+p.config+".log], services: [smtp]}\n")
	socket := filepath.Join(filepath.Dir(p.control), "dovecot.sock")
	proc := lab.StartProcess(t, "/bin/sh", []string{"-c", `umask 0; exec "$0" serve --config "$1" --set "dovecot.listen=unix:$2"`, p.bin, p.config, socket}, nil)
	if _, err := proc.WaitLine("metrics and health", 15*time.Second); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{
		p.state: os.ModeDir | 0o700, p.control: os.ModeSocket | 0o660, socket: os.ModeSocket | 0o660,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, want %v (%v)", path, info.Mode(), want, err)
		}
	}
	if err := proc.Stop(15 * time.Second); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(p.state)
	if err != nil || len(files) < 2 {
		t.Fatalf("in the state directory are %v (%v)", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, want 0600 (%v)", f.Name(), info.Mode(), err)
		}
	}
}
