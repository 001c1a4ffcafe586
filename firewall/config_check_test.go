package firewall

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/test/fuzzing"
)

func good() Config {
	return Config{
		Backend: NFTables, Ports: []string{"587", "993"}, MaxBans: 1000, AtStop: AtStopRemove,
		Table: "saslguard", Hooks: []string{HookInput}, Verdict: Drop,
		Log: LogConfig{Prefix: "saslguard: ", Rate: "1/minute"}, Exec: ExecConfig{Timeout: time.Second},
	}
}

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	limit := func(l LimitConfig) func(*Config) { return func(c *Config) { c.Limits = []LimitConfig{l} } }
	for want, change := range map[string]func(*Config){
		"": func(*Config) {},
		`backend: "pf" is not known; allowed is nftables, exec or dryrun`:          func(c *Config) { c.Backend = "pf" },
		`at_stop: "" is not known; allowed is remove or keep`:                      func(c *Config) { c.AtStop = "" },
		`verdict: "DROP" is not known`:                                             func(c *Config) { c.Verdict = "DROP" },
		"ports: has 0 entries; allowed are 1 to 64":                                func(c *Config) { c.Ports = nil },
		`ports[1]: "smtp" is no port`:                                              func(c *Config) { c.Ports = []string{"25", "smtp"} },
		`ports[0]: "0" is no port`:                                                 func(c *Config) { c.Ports = []string{"0"} },
		`ports[0]: "65536" is no port`:                                             func(c *Config) { c.Ports = []string{"65536"} },
		`ports[0]: "025" is no port`:                                               func(c *Config) { c.Ports = []string{"025"} },
		`ports[1]: "25" is listed twice`:                                           func(c *Config) { c.Ports = []string{"25", "25"} },
		"max_bans: 999 is out of range; allowed is 1000 to 10000000":               func(c *Config) { c.MaxBans = 999 },
		`socket_owner: "a b" is not user`:                                          func(c *Config) { c.SocketOwner = "a b" },
		`table: "my table" is no name`:                                             func(c *Config) { c.Table = "my table" },
		`table: "" is no name`:                                                     func(c *Config) { c.Table = "" },
		"hooks: is empty":                                                          func(c *Config) { c.Hooks = nil },
		`hooks[0]: "output" is not known; allowed is input, forward or prerouting`: func(c *Config) { c.Hooks = []string{"output"} },
		`hooks[1]: "input" is listed twice`:                                        func(c *Config) { c.Hooks = []string{"input", "input"} },
		"log.prefix: ":                                                             func(c *Config) { c.Log.Prefix = "a\nb" },
		`log.rate: "1/fortnight" is no rate`:                                       func(c *Config) { c.Log.Rate = "1/fortnight" },
		"log.group: 65536 is out of range":                                         func(c *Config) { c.Log.Group = 65536 },
		"exec.command: is empty":                                                   func(c *Config) { c.Backend = Exec },
		`exec.command[0]: "ipset" is relative`:                                     func(c *Config) { c.Exec.Command = []string{"ipset"} },
		"exec.timeout: 1m0s is out of range":                                       func(c *Config) { c.Exec.Timeout = time.Minute },
		"limits: has 17 entries":                                                   func(c *Config) { c.Limits = slices.Repeat([]LimitConfig{{Ports: []string{"25"}, Rate: "2/hour"}}, 17) },
		"limits[0].ports: has 0 entries":                                           limit(LimitConfig{Rate: "2/hour"}),
		`limits[0].rate: "" is no rate`:                                            limit(LimitConfig{Ports: []string{"25"}}),
		"limits[0].burst: -1 is not from 1":                                        limit(LimitConfig{Ports: []string{"25"}, Rate: "2/hour", Burst: -1}),
		"limits[0].burst: 1000 at 1/hour take 1000h0m0s":                           limit(LimitConfig{Ports: []string{"25"}, Rate: "1/hour", Burst: 1000}),
		"limits[0].expiry: 59m0s is not from 1h0m0s":                               limit(LimitConfig{Ports: []string{"25"}, Rate: "2/hour", Expiry: 59 * time.Minute}),
		"limits[0].size: 5 is not from 16":                                         limit(LimitConfig{Ports: []string{"25"}, Rate: "2/hour", Size: 5}),
	} {
		c := good()
		change(&c)
		var got []string
		c.Check(func(key, text string) { got = append(got, key+": "+text) })
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], want)) {
			t.Errorf("want %q, got %q", want, got)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	c := Config{Limits: []LimitConfig{
		{Ports: []string{"25", "587"}, Rate: "2/hour"},
		{Ports: []string{"993"}, Rate: "20/minute", Burst: 10, Expiry: time.Hour, Size: 16},
		{Ports: []string{"993"}, Rate: "1000/second"},
	}}
	got, err := c.ParsedLimits()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Limit{
		{Rate: RateLimit{2, time.Hour, 2}, Expiry: time.Hour, Size: 65536},
		{Rate: RateLimit{20, time.Minute, 10}, Expiry: time.Hour, Size: 16},
		{Rate: RateLimit{1000, time.Second, 1000}, Expiry: time.Second, Size: 65536},
	} {
		if g := got[i]; g.Rate != want.Rate || g.Expiry != want.Expiry || g.Size != want.Size || len(g.Ports) != len(c.Limits[i].Ports) {
			t.Errorf("%v is %+v, want %+v", c.Limits[i], g, want)
		}
	}
	if _, err := (&Config{Limits: []LimitConfig{{Rate: "x"}}}).ParsedLimits(); err == nil {
		t.Error("a limit without a rate is parsed")
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	c := good()
	c.Hooks = []string{HookInput, HookPrerouting}
	c.Backend, c.Limits = DryRun, []LimitConfig{{}}
	var got []string
	c.Warnings(func(key, _ string) { got = append(got, key) })
	slices.Sort(got)
	if !slices.Equal(got, []string{"hooks", "limits"}) {
		t.Errorf("warnings about %q", got)
	}
}

// FuzzParseRate holds that what is taken is exactly a number, a slash and a unit.
func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"20/minute", "2/hour", "1/second", "1000000/day", "", "/", "0/hour", "1/", "+1/hour", "01/day", "1/week", "18446744073709551617/second"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRate(s)
		if err != nil {
			if !strings.Contains(err.Error(), "allowed is") || len(err.Error()) > 600 {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		units := map[time.Duration]string{time.Second: "second", time.Minute: "minute", time.Hour: "hour", 24 * time.Hour: "day"}
		if again := strings.Join([]string{itoa(r.Count), units[r.Per]}, "/"); again != s {
			t.Errorf("%q is %q", s, again)
		}
		if r.Count < 1 || r.Count > maxRate || r.Burst != int(r.Count) || r.Full() <= 0 || r.Full() > 24*time.Hour {
			t.Errorf("%q is %+v, full after %v", s, r, r.Full())
		}
	})
}

// FuzzPorts holds that ports are taken once each, and as they are written.
func FuzzPorts(f *testing.F) {
	for _, s := range []string{"25", "587,465", "0", "65535", "65536", "25,25", "025", "", "smtp", "+25", "25 "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		texts := strings.Split(s, ",")
		problems := 0
		ports := parsePorts(texts, func(key, text string) { problems++ })
		if problems > 0 {
			return
		}
		if len(ports) != len(texts) {
			t.Fatalf("%q are %d ports", texts, len(ports))
		}
		for i, p := range ports {
			if p == 0 || itoa(uint64(p)) != texts[i] || slices.Contains(ports[:i], p) {
				t.Errorf("%q are %v", texts, ports)
			}
		}
	})
}

func itoa(n uint64) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
