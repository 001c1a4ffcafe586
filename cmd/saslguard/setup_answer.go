package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/doctor"
)

// setupAnswer is what setup has to say; with -o json as it is.
type setupAnswer struct {
	Version string      `json:"version,omitempty"` // of the program it is for
	Files   []setupFile `json:"files"`
	Notes   []string    `json:"notes"`
	Session string      `json:"session,omitempty"` // the administrator's own prefix, for the allowlist
}

// setupFile is a file, or a part of one.
type setupFile struct {
	Name string `json:"name"`           // as setup NAME has it
	Path string `json:"path"`           // where it usually goes
	Text string `json:"text,omitempty"` // absent in a list
}

// pathOf is where a shipped file usually goes.
func pathOf(name string) string {
	folder, base := path.Split(name)
	switch {
	case strings.HasPrefix(folder, "dovecot/"):
		return "/etc/dovecot/conf.d/" + base
	case folder == "postfix/":
		return "/etc/postfix/" + base
	case folder == "systemd/":
		return "/etc/systemd/system/" + base
	case folder == "prometheus/":
		return "/etc/prometheus/saslguard-alerts.yml"
	case folder == "grafana/":
		return "/var/lib/grafana/dashboards/" + base
	}
	return "/etc/saslguard/" + base
}

// note says something that is no part of the files.
func (s *setup) note(format string, values ...any) {
	s.said.Notes = append(s.said.Notes, fmt.Sprintf(format, values...))
}

// add adds shipped files.
func (s *setup) add(names ...string) error {
	for _, name := range names {
		text, err := configs.Snippet(name)
		if err != nil {
			return err
		}
		s.said.Files = append(s.said.Files, setupFile{Name: name, Path: pathOf(name), Text: string(text)})
	}
	return nil
}

// edit changes the text of each file.
func (s *setup) edit(change func(text string) string) {
	for i := range s.said.Files {
		s.said.Files[i].Text = change(s.said.Files[i].Text)
	}
}

// proposeSession proposes the address from which the administrator is logged in
// for the allowlist, if there is one.
func (s *setup) proposeSession() {
	if p, ok := doctor.SessionPrefix(session()); ok {
		s.said.Session = p.String()
		s.note("You are logged in from %s. If that is always yours, add it in saslguard.yaml:\n  rules:\n    allow_clients: [127.0.0.0/8, \"::1/128\", %s]", p, p)
	}
}

// answer prints everything: the files, or of a list their names, on standard output,
// and notes beside it.
func (s *setup) answer(c *cobra.Command, list bool) error {
	if s.output == "json" {
		if s.said.Notes == nil {
			s.said.Notes = []string{}
		}
		e := json.NewEncoder(c.OutOrStdout())
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(&s.said)
	}
	for _, n := range s.said.Notes {
		fmt.Fprintln(c.ErrOrStderr(), n)
	}
	var texts []string
	for _, f := range s.said.Files {
		if list {
			f.Text = f.Name + "\n"
		}
		texts = append(texts, f.Text)
	}
	between := "\n"
	if list {
		between = ""
	}
	_, err := io.WriteString(c.OutOrStdout(), strings.Join(texts, between))
	return err
}
