package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/admin/client"
	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/daemon"
)

// remote is where the saslguard runs that a command asks, and how its answer is
// shown.
type remote struct {
	settings  settings
	socket    string
	server    string
	tokenFile string
	caFile    string
	output    string
	outputs   []string
}

// flags adds the flags of a command that asks; outputs are the formats it knows,
// the first of them unless another is wanted.
func (r *remote) flags(c *cobra.Command, outputs ...string) {
	f := c.Flags()
	r.settings.flags(f)
	f.StringVar(&r.socket, "socket", "", "control `socket` of the saslguard to ask (default: that of the one that runs here)")
	f.StringVar(&r.server, "server", "", "`URL` of a saslguard to ask over TCP, such as https://mx1.example.org:4003")
	f.StringVar(&r.tokenFile, "token-file", "", "`file` whose first line is the token for --server")
	f.StringVar(&r.caFile, "ca-file", "", "PEM `file` with the authorities for --server (default: the system's)")
	r.outputs = outputs
	if len(outputs) > 0 {
		f.StringVarP(&r.output, "output", "o", outputs[0], "`format`: "+strings.Join(outputs, " or "))
		_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs, cobra.ShellCompDirectiveNoFileComp))
	}
}

// client returns a client of the saslguard that is to be asked.
func (r *remote) client() (*client.Client, error) {
	if len(r.outputs) > 0 && !slices.Contains(r.outputs, r.output) {
		return nil, usageError{fmt.Errorf("--output %q is not known; allowed is %s", r.output, strings.Join(r.outputs, " or "))}
	}
	if r.server != "" {
		return r.tcp()
	}
	for flag, value := range map[string]string{"--token-file": r.tokenFile, "--ca-file": r.caFile} {
		if value != "" {
			return nil, usageError{fmt.Errorf("%s is for --server", flag)}
		}
	}
	socket := r.socket
	if socket == "" {
		conf, err := r.settings.load()
		if err != nil {
			return nil, err
		}
		if socket, err = daemon.FindControl(conf); err != nil {
			return nil, err
		}
	}
	return client.New(client.Options{Address: "unix:" + socket})
}

// tcp returns a client of --server.
func (r *remote) tcp() (*client.Client, error) {
	if r.socket != "" {
		return nil, usageError{errors.New("--socket and --server exclude each other")}
	}
	o := client.Options{Address: r.server}
	if r.tokenFile == "" {
		return nil, usageError{errors.New("--server needs --token-file")}
	}
	f, err := os.Open(r.tokenFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	o.Token = strings.TrimSpace(line)
	if r.caFile != "" {
		pem, err := os.ReadFile(r.caFile)
		if err != nil {
			return nil, err
		}
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
		if !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", r.caFile)
		}
	}
	return client.New(o)
}

// json tells whether the answer is wanted as JSON, and writes it then.
func (r *remote) json(w io.Writer, answer any) (bool, error) {
	if r.output != "json" {
		return false, nil
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return true, e.Encode(answer)
}

// table writes rows in columns. It is for people: machines take -o json.
func table(w io.Writer, head []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range append([][]string{head}, rows...) {
		if _, err := fmt.Fprintln(t, strings.TrimRight(strings.Join(row, "\t"), "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}

// when is a time for people, with its zone.
func when(t time.Time) string { return t.Local().Format(time.RFC3339) }

// until is the end of a ban for people.
func until(t *time.Time) string {
	if t == nil {
		return "permanent"
	}
	return when(*t)
}

// dash is a text, or what stands for none in a table.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// ageFlag is a duration in the words of the configuration: 90s, 2h, 7d.
type ageFlag struct{ d time.Duration }

// Set implements pflag.Value.
func (f *ageFlag) Set(s string) (err error) {
	f.d, err = configs.ParseDuration(s)
	if err == nil && f.d < time.Second {
		err = errors.New("it is less than a second")
	}
	return err
}

// String implements pflag.Value.
func (f *ageFlag) String() string {
	if f.d == 0 {
		return ""
	}
	return configs.FormatDuration(f.d)
}

// Type implements pflag.Value.
func (f *ageFlag) Type() string { return "time" }

// seconds is the duration in whole seconds.
func (f *ageFlag) seconds() int { return int(f.d / time.Second) }
