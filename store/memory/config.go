package memory

import "fmt"

// Config is the `store` part of the configuration.
type Config struct {
	// Subjects is how many clients, networks, accounts and pairs are scored at
	// once; the least valuable go first. 10,000 to 100,000,000.
	Subjects int `mapstructure:"subjects"`
	// Bans bounds the automatic bans, 1,000 to 10,000,000. What operators put
	// has a tenth of that beside them, at least 1,000.
	Bans int `mapstructure:"bans"`
	// Familiar bounds the familiar pairs, 1,000 to 100,000,000.
	Familiar int `mapstructure:"familiar"`
}

// reserve is how many entries of the ledger no automatic ban takes.
func (c Config) reserve() int { return max(c.Bans/10, 1000) }

// Check calls problem for each value out of its range, with its key and what
// is allowed.
func (c Config) Check(problem func(key, text string)) {
	within := func(key string, value, low, high int) {
		if value < low || value > high {
			problem(key, fmt.Sprintf("%d is out of range: it must be from %d to %d", value, low, high))
		}
	}
	within("subjects", c.Subjects, 10_000, 100_000_000)
	within("bans", c.Bans, 1_000, 10_000_000)
	within("familiar", c.Familiar, 1_000, 100_000_000)
}
