package configs

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

// TestEffective holds that what is shown loads to the same configuration, and
// says where the values came from.
func TestEffective(t *testing.T) {
	path := write(t, t.TempDir(), "saslguard.yaml", `mode: enforce
host: "007"
rules:
  half_life: 36h
  trap_accounts: [test, "a, b", "# c", "", yes]
postfix:
  contexts: [{name: a, verdicts: all}]
`)
	path = strings.TrimSpace(path)
	c, _ := load(t, path)
	var shown bytes.Buffer
	if err := c.Effective(&shown); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"mode: enforce # " + path + ":1\n",
		"host: \"007\" # " + path + ":2\n",
		"  half_life: 1d12h # " + path + ":4\n",
		"  default_domain: \"\"\n",
		"    ban: 20\n",
		"[{name: a, verdicts: all}] # " + path + ":7\n",
	} {
		if !strings.Contains(shown.String(), want) {
			t.Errorf("missing %q in\n%s", want, shown.String())
		}
	}
	again, complaints := load(t, write(t, t.TempDir(), "again.yaml", shown.String()))
	if len(complaints) > 0 {
		t.Fatalf("what is shown is wrong: %v", sorted(complaints))
	}
	c.places, again.places = nil, nil
	if !reflect.DeepEqual(c, again) {
		t.Errorf("loaded again it is\n%+v\nwant\n%+v", again, c)
	}
}

// load loads without the checks.
func load(t *testing.T, path string) (*Config, []complaint) {
	t.Helper()
	l := newLoader()
	l.defaults()
	l.files(path)
	c := &Config{places: l.places}
	if err := l.viper.UnmarshalExact(c); err != nil {
		t.Fatal(err)
	}
	return c, l.complaints
}

// TestSecretsAreHidden holds that no secret is shown, whatever shows it.
func TestSecretsAreHidden(t *testing.T) {
	const secret = "s3cr3t-s3cr3t-s3cr3t-s3cr3t-s3cr3t"
	var environ []string
	for _, f := range schema().leaves() {
		if f.secret {
			environ = append(environ, f.envName()+"="+secret)
		}
	}
	l := newLoader()
	l.defaults()
	l.environment(environ)
	c := &Config{places: l.places}
	if err := l.viper.UnmarshalExact(c); err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	if err := c.Effective(&shown); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(shown.String(), secret) {
		t.Errorf("a secret is shown:\n%s", shown.String())
	}
	if got := strings.Count(shown.String(), Masked); got != len(environ) || got == 0 {
		t.Errorf("%d values are masked, want %d", got, len(environ))
	}
}
