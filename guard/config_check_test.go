package guard

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestConfigCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string // the only problem; "": none
	}{
		"defaults":             {func(c *Config) {}, ""},
		"half-life short":      {func(c *Config) { c.HalfLife = time.Second }, "half_life: 1s is out of range; allowed is 1m to 7d"},
		"half-life long":       {func(c *Config) { c.HalfLife = 8 * day }, "half_life: 192h is out of range"},
		"not a number":         {func(c *Config) { c.Points.Failure = math.NaN() }, "points.failure: NaN is out of range; allowed is 0.1 to 100"},
		"infinite":             {func(c *Config) { c.Familiar.Budget = math.Inf(1) }, "familiar.budget: +Inf is out of range"},
		"ban not a number":     {func(c *Config) { c.Client.Ban = math.NaN() }, "client.ban: NaN is out of range; allowed is 0.1 to 1000"},
		"rounds to off":        {func(c *Config) { c.Client.Tarpit = 0.0001 }, "client.tarpit: 0.0001 is out of range"},
		"client tier off":      {func(c *Config) { c.Client.Tarpit = 0 }, "client.tarpit: 0 is out of range"},
		"ban below refuse":     {func(c *Config) { c.Client.Ban = 10 }, "client.ban: 10 is not above client.refuse, which is 10; allowed is more than that, to 1000"},
		"network off":          {func(c *Config) { c.Network.Tarpit = 0 }, ""},
		"over a tier off":      {func(c *Config) { c.Network.Ban = 5 }, "network.ban: 5 is not above network.tarpit, which is 20"},
		"account high":         {func(c *Config) { c.Account.Refuse = 1001 }, "account.refuse: 1001 is out of range; allowed is 0.1 to 1000, or 0 for off"},
		"network is client":    {func(c *Config) { c.Network.IPv4 = 32 }, "network.ipv4_prefix: /32 is not shorter than client.ipv4_prefix, which is /32; allowed is 8 to 31"},
		"network wide":         {func(c *Config) { c.Network.IPv6 = 8 }, "network.ipv6_prefix: 8 is out of range; allowed is 16 to 63"},
		"client wide":          {func(c *Config) { c.Client.IPv6 = 32; c.Network.IPv6 = 31 }, "client.ipv6_prefix: 32 is out of range; allowed is 48 to 128"},
		"office of nobody":     {func(c *Config) { c.Familiar.Office = 0 }, "familiar.office: 0 is out of range; allowed is 1 to 1000"},
		"remember many":        {func(c *Config) { c.Passwords.Remember = 4 }, "passwords.remember: 4 is out of range; allowed is 0 to 3"},
		"smtp tarpit":          {func(c *Config) { c.Tarpit.MaxSMTP = 8 * time.Second }, "tarpit.max_smtp: 8s is out of range; allowed is 1s to 7s"},
		"half second":          {func(c *Config) { c.Tarpit.Max = 1500 * time.Millisecond }, "tarpit.max: has a fraction of a second"},
		"held":                 {func(c *Config) { c.Tarpit.HeldDovecot = -1 }, "tarpit.held_dovecot: -1 is out of range; allowed is 0 to 1000"},
		"waiting off":          {func(c *Config) { c.Waiting = WaitingConfig{} }, ""},
		"waiting long":         {func(c *Config) { c.Waiting.Max = 2 * time.Second }, "waiting.max: 2s is out of range; allowed is 0s to 1s"},
		"first over max":       {func(c *Config) { c.Ban.Max = time.Minute }, "ban.max: is shorter than ban.first; allowed is ban.first to 366d"},
		"forget below max":     {func(c *Config) { c.Ban.Forget = day }, "ban.forget: is shorter than ban.max"},
		"brake off":            {func(c *Config) { c.Brake.Networks = 0 }, ""},
		"brake pause":          {func(c *Config) { c.Brake.Pause = 0 }, "brake.pause: 0s is out of range; allowed is 1m to 1d"},
		"domain":               {func(c *Config) { c.DefaultDomain = "mail.Example.org" }, ""},
		"domain with @":        {func(c *Config) { c.DefaultDomain = "@example.org" }, "default_domain: \"@example.org\" is no domain; allowed is a name such as example.org"},
		"domain with dot":      {func(c *Config) { c.DefaultDomain = "example.org." }, "default_domain: "},
		"domain with hyphen":   {func(c *Config) { c.DefaultDomain = "-example.org" }, "default_domain: "},
		"domain long":          {func(c *Config) { c.DefaultDomain = strings.Repeat("a.", 127) + "a" }, "default_domain: "},
		"empty login":          {func(c *Config) { c.TrapAccounts = []string{"a", " "} }, "trap_accounts[1]: is empty; allowed are logins"},
		"long login":           {func(c *Config) { c.AllowAccounts = []string{strings.Repeat("a", 321)} }, "allow_accounts[0]: has 321 octets; allowed are at most 320"},
		"login of wildcards":   {func(c *Config) { c.AllowAccounts = []string{"alice@*"} }, "allow_accounts[0]: \"alice@*\" has a wildcard"},
		"a failure is refused": {func(c *Config) { c.Account.Refuse, c.Account.Tarpit = 0.5, 0 }, "account.refuse: 0.5 is less than points.failure, which is 1"},
		"refused network":      {func(c *Config) { c.Network.Refuse, c.Network.Tarpit = 0.5, 0 }, "network.refuse: 0.5 is less than points.failure"},
		"refused client":       {func(c *Config) { c.Client.Refuse, c.Client.Tarpit = 0.5, 0.2 }, "client.refuse: 0.5 is less than points.failure"},
		"small budget":         {func(c *Config) { c.Familiar.Budget = 0.5 }, "familiar.budget: 0.5 is less than points.failure"},
		"budget of one":        {func(c *Config) { c.Familiar.Budget, c.Account.Refuse, c.Account.Tarpit = 1, 0, 0 }, ""},
		"login of controls":    {func(c *Config) { c.AllowAccounts = []string{"a\nb"} }, "allow_accounts[0]: has control characters"},
		"many logins":          {func(c *Config) { c.TrapAccounts = many(10001) }, "trap_accounts: has 10001 entries; allowed are at most 10000"},
		"address":              {func(c *Config) { c.AllowClients = []string{"192.0.2.1", "2001:db8::1", "2001:db8::/32"} }, ""},
		"host bits":            {func(c *Config) { c.AllowClients = []string{"2001:db8::1/32"} }, "allow_clients[0]: \"2001:db8::1/32\" has host bits set; allowed is the network 2001:db8::/32, or the address 2001:db8::1"},
		"everybody":            {func(c *Config) { c.AllowClients = []string{"::/0"} }, "allow_clients[0]: \"::/0\" allows every client there is"},
		"zone":                 {func(c *Config) { c.AllowClients = []string{"fe80::1%eth0"} }, "allow_clients[0]: \"fe80::1%eth0\" has a zone, which no client has; allowed is fe80::1"},
		"host name":            {func(c *Config) { c.AllowClients = []string{"mail.example.org"} }, "allow_clients[0]: \"mail.example.org\" is neither an address nor a prefix"},
	} {
		config := testConfig()
		c.change(&config)
		var got []string
		config.Check(func(key, text string) {
			if !strings.Contains(text, "allowed") {
				t.Errorf("%s: %q says not what is allowed", name, text)
			}
			got = append(got, key+": "+text)
		})
		if c.want == "" && len(got) == 0 || len(got) == 1 && c.want != "" && strings.HasPrefix(got[0], c.want) {
			continue
		}
		t.Errorf("%s: got %q, want %q", name, got, c.want)
	}
}

func many(n int) []string {
	logins := make([]string, n)
	for i := range logins {
		logins[i] = "a"
	}
	return logins
}
