package days

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/guard"
)

// variant is a change of the shipped rules.
type variant struct {
	name   string
	change func(*guard.Config)
}

const asShipped = "as shipped"

func changes() []variant {
	return []variant{
		{"half_life: 15m", func(c *guard.Config) { c.HalfLife = 15 * time.Minute }},
		{"half_life: 4h", func(c *guard.Config) { c.HalfLife = 4 * time.Hour }},
		{"half_life: 1d", func(c *guard.Config) { c.HalfLife = 24 * time.Hour }},
		{"points.further_account: 0", func(c *guard.Config) { c.Points.FurtherAccount = 0 }},
		{"points.further_account: 3", func(c *guard.Config) { c.Points.FurtherAccount = 3 }},
		{"client: tarpit 2, refuse 5, ban 10", func(c *guard.Config) { c.Client.Tarpit, c.Client.Refuse, c.Client.Ban = 2, 5, 10 }},
		{"client: refuse 20, ban 40", func(c *guard.Config) { c.Client.Refuse, c.Client.Ban = 20, 40 }},
		{"network.refuse: 0", func(c *guard.Config) { c.Network.Refuse = 0 }},
		{"network.refuse: 50", func(c *guard.Config) { c.Network.Refuse = 50 }},
		{"network.refuse: 200", func(c *guard.Config) { c.Network.Refuse = 200 }},
		{"account.refuse: 0", func(c *guard.Config) { c.Account.Refuse = 0 }},
		{"account: tarpit 5, refuse 10", func(c *guard.Config) { c.Account.Tarpit, c.Account.Refuse = 5, 10 }},
		{"account.refuse: 40", func(c *guard.Config) { c.Account.Refuse = 40 }},
		{"familiar.budget: 5", func(c *guard.Config) { c.Familiar.Budget = 5 }},
		{"familiar.budget: 20", func(c *guard.Config) { c.Familiar.Budget = 20 }},
		{"familiar.office: 1", func(c *guard.Config) { c.Familiar.Office = 1 }},
		{"familiar.office: 1000", func(c *guard.Config) { c.Familiar.Office = 1000 }},
		{"passwords.remember: 0", func(c *guard.Config) { c.Passwords.Remember = 0 }},
		{"ban.first: 10m", func(c *guard.Config) { c.Ban.First = 10 * time.Minute }},
		{"ban.first: 1d", func(c *guard.Config) { c.Ban.First = 24 * time.Hour }},
	}
}

// compared are the attacks whose figures under other rules the document has.
func compared() []scenario {
	names := []string{"one client, every 90 s", "one client, every 10 min", "a botnet of 100, each every 10 min",
		"one client over 500 accounts, every 90 s", "an IPv6 /48 over 500 accounts, every 10 s", "one client in the owner's /24, every 90 s"}
	return slices.DeleteFunc(attacks(), func(s scenario) bool { return !slices.Contains(names, s.name) })
}

// variants lives through the days under each of the changed rules.
func variants(t *testing.T, shipped map[string]figures) {
	var b strings.Builder
	b.WriteString("| rules |")
	for _, s := range compared() {
		b.WriteString(" " + s.name + " |")
	}
	b.WriteString(" owners refused | of accounts | the limits below: refused |\n|---" + strings.Repeat("|---", len(compared())+3) + "|\n")
	b.WriteString(variantRow(asShipped, shipped))
	for _, v := range changes() {
		rules := configs.Default().Rules
		v.change(&rules)
		b.WriteString(variantRow(v.name, lived(t, rules, slices.Concat(compared(), people(), limits()))))
	}
	written(t, "other rules", b.String())
}

func variantRow(name string, result map[string]figures) string {
	row := "| " + name + " |"
	for _, s := range compared() {
		f := result[s.name]
		row += fmt.Sprintf(" %d |", f.perDay(f.verified))
	}
	hurt, victims := suffered(people(), result)
	limited, _ := suffered(limits(), result)
	return row + fmt.Sprintf(" %d | %d | %d |\n", hurt, victims, limited)
}

func suffered(all []scenario, result map[string]figures) (hurt, victims int) {
	for _, s := range all {
		f := result[s.name]
		hurt += f.hurt
		victims += f.victims
	}
	return hurt, victims
}
