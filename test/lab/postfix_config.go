package lab

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"
)

const (
	postfixUser   = "postfix"
	postdropGroup = "postdrop"
)

// postfixMain is main.cf. inet_protocols is all, though we listen on IPv4
// only: with ipv4 Postfix calls an IPv6 address in XCLIENT a syntax error. The
// banner carries the directory's name, which tells this Postfix from others.
const postfixMain = `compatibility_level = 3.7
queue_directory = {{.Queue}}
data_directory = {{.Dir}}/data
maillog_file = {{.Dir}}/mail.log
maillog_file_prefixes = {{.Dir}}
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.lab.test
mydomain = lab.test
smtpd_banner = $myhostname ESMTP $mail_name {{.Name}}
inet_interfaces = 127.0.0.1
inet_protocols = all
mynetworks =
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
relay_domains = lab.test
local_transport = discard:
relay_transport = discard:
default_transport = discard:
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
smtpd_timeout = 60s
smtpd_tls_security_level = none
smtpd_tls_auth_only = no
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_auth_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_client_recipient_rate_limit = 0
{{- if .HardErrorLimit}}
smtpd_hard_error_limit = {{.HardErrorLimit}}
{{- end}}
{{- if .SASLPath}}
smtpd_sasl_type = dovecot
smtpd_sasl_path = {{.SASLPath}}
{{- end}}
cyrus_sasl_config_path = {{.Dir}}/etc/sasl
in_flow_delay = 0
default_process_limit = 256
{{.Main}}
`

// postfixMaster is master.cf: nothing is chrooted, and only what a message on
// its way to discard needs is there. The MX is the last of the ports; waitReady
// counts on it.
const postfixMaster = `{{define "submission"}} inet n - n - 256 smtpd
  -o smtpd_delay_reject=no
  -o smtpd_sasl_auth_enable={{if or .SASLPath .CyrusSASL}}yes{{else}}no{{end}}
  -o { smtpd_client_restrictions = {{.ClientRestrictions}} }
  -o { smtpd_relay_restrictions = permit_sasl_authenticated, reject }
  -o { smtpd_recipient_restrictions = }
{{end -}}
{{.Submission}}{{template "submission" .}}  -o syslog_name=postfix/submission
{{.SubmissionProxy}}{{template "submission" .}}  -o syslog_name=postfix/submission-proxy
  -o smtpd_upstream_proxy_protocol=haproxy
{{.MX}} inet n - n - 256 smtpd
  -o syslog_name=postfix/mx
  -o { smtpd_relay_restrictions = reject_unauth_destination }
  -o { smtpd_recipient_restrictions = {{.MXRestrictions}} }
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
{{.Master}}
`

func (p *Postfix) configDir() string { return filepath.Join(p.Dir, "etc") }
func (p *Postfix) logPath() string   { return filepath.Join(p.Dir, "mail.log") }

func (p *Postfix) writeConfig(o PostfixOptions) error {
	values := struct {
		*Postfix
		PostfixOptions
		Name string
	}{p, o, filepath.Base(p.Dir)}
	// Postfix reads a configuration again and again until it is some seconds
	// old, lest it be half written. Ours is whole: it may look old.
	written := time.Now().Add(-time.Minute)
	var errs []error
	for name, text := range map[string]string{"main.cf": postfixMain, "master.cf": postfixMaster} {
		var conf strings.Builder
		if err := template.Must(template.New("").Parse(text)).Execute(&conf, values); err != nil {
			return err
		}
		path := filepath.Join(p.configDir(), name)
		errs = append(errs,
			os.WriteFile(path, []byte(conf.String()), 0o644),
			os.Chtimes(path, written, written))
	}
	// Postfix 3.7 of Debian has this path, whatever cyrus_sasl_config_path says.
	sasl := filepath.Join(p.configDir(), "sasl")
	errs = append(errs, os.MkdirAll(sasl, 0o755), os.WriteFile(filepath.Join(sasl, "smtpd.conf"), []byte(o.CyrusSASL), 0o644))
	return errors.Join(errs...)
}

// makeDirectories does what Debian's package and "postfix check" do at the
// first start. Postfix ends without a word to its clients when an owner or a
// mode is wrong.
func (p *Postfix) makeDirectories() error {
	uid, gid, err := postfixIDs()
	if err != nil {
		return err
	}
	type dir struct {
		name     string
		mode     os.FileMode
		uid, gid int
	}
	dirs := []dir{
		{"etc", 0o755, 0, 0},
		{"data", 0o700, uid, 0},
		{"queue", 0o755, 0, 0},
		{"queue/pid", 0o755, 0, 0},
		{"queue/maildrop", 0o730, uid, gid},
		{"queue/public", 0o710, uid, gid},
	}
	for _, name := range []string{
		"active", "bounce", "corrupt", "defer", "deferred", "flush",
		"hold", "incoming", "private", "saved", "trace",
	} {
		dirs = append(dirs, dir{"queue/" + name, 0o700, uid, 0})
	}
	for _, d := range dirs {
		path := filepath.Join(p.Dir, d.name)
		if err := errors.Join(os.Mkdir(path, d.mode), os.Chown(path, d.uid, d.gid), os.Chmod(path, d.mode)); err != nil {
			return err
		}
	}
	return nil
}

// postfixIDs are the ids of user postfix and group postdrop.
func postfixIDs() (uid, gid int, err error) {
	u, err := user.Lookup(postfixUser)
	if err != nil {
		return 0, 0, err
	}
	g, err := user.LookupGroup(postdropGroup)
	if err != nil {
		return 0, 0, err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(g.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return 0, 0, fmt.Errorf("ids of Postfix: %w", err)
	}
	return uid, gid, nil
}
