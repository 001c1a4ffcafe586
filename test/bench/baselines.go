package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

// The baselines that this program serves itself, in a process of its own that is
// started as `bench baseline NAME ADDRESS`.
const (
	baselineCommand = "baseline"
	echoName        = "line echo"
	httpName        = "net/http"
)

// serveBaseline serves one of them, and returns only when it fails.
func serveBaseline(name, address string) error {
	l, err := net.Listen("tcp4", address)
	if err != nil {
		return err
	}
	switch name {
	case echoName:
		return serveEcho(l)
	case httpName:
		return http.Serve(l, http.HandlerFunc(answerBarely))
	default:
		return fmt.Errorf("there is no baseline %q", name)
	}
}

// startBaseline starts one of them.
func (b *bench) startBaseline(ctx context.Context, name string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	c, err := startChild(b.dir, name, plainEnvironment(), self, baselineCommand, name, addr.String())
	if err != nil {
		return nil, err
	}
	c.addr = addr
	if err := c.until(ctx, c.listens); err != nil {
		_ = c.stop()
		return nil, err
	}
	return c, nil
}

func serveEcho(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go echo(conn)
	}
}

// echo reads lines and answers each empty one, which is what is least to be done to
// answer Postfix.
func echo(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	answer := []byte("action=DUNNO\n\n")
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		if len(line) > 1 {
			continue
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// answerBarely is what one would write in a minute to answer Dovecot.
func answerBarely(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Login          string `json:"login"`
		Hash           string `json:"pwhash"`
		Remote         string `json:"remote"`
		Device         string `json:"device_id"`
		Protocol       string `json:"protocol"`
		Session        string `json:"session_id"`
		FailType       string `json:"fail_type"`
		Mechanism      string `json:"mech"`
		Success        bool   `json:"success"`
		PolicyRejected bool   `json:"policy_reject"`
		TLS            bool   `json:"tls"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"status":0,"msg":""}`)
}
