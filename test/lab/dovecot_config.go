package lab

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// dovecotConfig is dovecot.conf. Login processes serve any number of clients
// (2.3: service_count = 0), which starts faster and holds fewer processes than one
// for each connection. Nothing is cached, so that each attempt that the policy
// lets through is a look into the password database. Dovecot 2.4 has other names for
// some settings.
const dovecotConfig = `{{if .Is24 -}}
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
{{end -}}
base_dir = {{.Dir}}/run
state_dir = {{.Dir}}/run
log_path = {{.Dir}}/dovecot.log
instance_name = lab
protocols = imap pop3
listen = 127.0.0.1
ssl = no
{{if .Is24}}auth_allow_cleartext = yes{{else}}disable_plaintext_auth = no{{end}}
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256
auth_failure_delay = {{.FailureDelay}} secs
auth_cache_size = 0
auth_verbose = yes
# Verified reads these lines. auth_debug would add thirty lines for each request
# to the policy server.
log_debug = category=auth AND NOT category=http-client
login_trusted_networks =
haproxy_trusted_networks = 127.0.0.0/8
haproxy_timeout = 10 secs
{{if .Is24 -}}
mail_driver = maildir
mail_path = {{.Dir}}/mail/%{user}
{{- else -}}
mail_location = maildir:{{.Dir}}/mail/%u
{{- end}}
mail_max_userip_connections = 0
first_valid_uid = 1
default_process_limit = 256
default_client_limit = 2000
default_internal_user = {{.InternalUser}}
default_internal_group = {{.InternalGroup}}
default_login_user = {{.LoginUser}}

{{if .Is24 -}}
passdb passwd-file {
  passwd_file_path = {{.Dir}}/users
}
userdb static {
  fields {
    uid = {{.MailUser}}
    gid = {{.MailGroup}}
    home = {{.Dir}}/mail/%{user}
  }
  allow_all_users = yes
}
{{- else -}}
passdb {
  driver = passwd-file
  args = {{.Dir}}/users
}
userdb {
  driver = static
  args = uid={{.MailUser}} gid={{.MailGroup}} home={{.Dir}}/mail/%u allow_all_users=yes
}
{{- end}}
service imap-login {
  {{template "forever" .}}
  {{- .NoChroot}}
  inet_listener imap {
    port = {{.IMAP.Port}}
  }
  inet_listener imap-proxy {
    port = {{.IMAPProxy.Port}}
    haproxy = yes
  }
  inet_listener imaps {
    port = 0
  }
}
service pop3-login {
  {{template "forever" .}}
  {{- .NoChroot}}
  inet_listener pop3 {
    port = {{.POP3.Port}}
  }
  inet_listener pop3-proxy {
    port = {{.POP3Proxy.Port}}
    haproxy = yes
  }
  inet_listener pop3s {
    port = 0
  }
}
service auth {
  unix_listener {{.SASLPath}} {
    mode = 0666
  }
}
service anvil {
  {{- .NoChroot}}
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service stats {
  {{- .NoChroot}}
}
{{.Rootless}}
{{.Extra}}
{{- define "forever"}}{{if .Is24}}restart_request_count = unlimited{{else}}service_count = 0{{end}}{{end}}
`

// rootless makes Dovecot do without root: what it starts as root otherwise
// runs as the user of the test.
const rootless = `service auth-worker {
  user = $default_internal_user
}
`

func (d *Dovecot) configPath() string { return filepath.Join(d.Dir, "dovecot.conf") }
func (d *Dovecot) logPath() string    { return filepath.Join(d.Dir, "dovecot.log") }

// writeConfig writes dovecot.conf and the users, for root with Debian's
// accounts and for anybody else with his own.
func (d *Dovecot) writeConfig(o DovecotOptions) error {
	users, err := passwdFile(o)
	if err != nil {
		return err
	}
	values := struct {
		*Dovecot
		InternalUser, InternalGroup, LoginUser string
		MailUser, MailGroup                    string
		NoChroot, Rootless, Extra              string
		FailureDelay                           int
		Is24                                   bool
	}{
		Dovecot:      d,
		InternalUser: "dovecot", InternalGroup: "dovecot", LoginUser: "dovenull",
		MailUser: "nobody", MailGroup: "nogroup",
		Extra:        o.Extra,
		FailureDelay: int(o.FailureDelay / time.Second),
		Is24:         Dovecot24(),
	}
	if os.Geteuid() != 0 {
		me, err := user.Current()
		if err != nil {
			return err
		}
		group, err := user.LookupGroupId(me.Gid)
		if err != nil {
			return err
		}
		values.InternalUser, values.InternalGroup, values.LoginUser = me.Username, group.Name, me.Username
		values.MailUser, values.MailGroup = me.Uid, me.Gid
		values.NoChroot, values.Rootless = "\n  chroot =", rootless
	}
	var conf strings.Builder
	if err := template.Must(template.New("").Parse(dovecotConfig)).Execute(&conf, values); err != nil {
		return err
	}
	mail := filepath.Join(d.Dir, "mail")
	return errors.Join(
		os.MkdirAll(mail, 0o755),
		os.Chmod(mail, 0o777), // the mail user makes the mailboxes
		os.WriteFile(filepath.Join(d.Dir, "users"), []byte(users), 0o644),
		os.WriteFile(d.configPath(), []byte(conf.String()), 0o644),
	)
}

// passwdFile writes the users as Dovecot's passwd-file reads them. Passwords
// are in base64, since the format has no escape for a colon.
func passwdFile(o DovecotOptions) (string, error) {
	extra := ""
	if o.AtOnce {
		extra = "::::::nodelay=y"
	}
	var file strings.Builder
	for name, password := range o.Users {
		if name == "" || strings.ContainsAny(name, ":\r\n") {
			return "", fmt.Errorf("a passwd-file cannot hold the user name %q", name)
		}
		fmt.Fprintf(&file, "%s:{PLAIN.b64}%s%s\n", name, base64.StdEncoding.EncodeToString([]byte(password)), extra)
	}
	return file.String(), nil
}
