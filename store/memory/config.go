package memory

import "fmt"

// Config is the `store` part of the configuration.
type Config struct {
	// Subjects is how many clients, networks, accounts and pairs are scored at
	// once; the least valuable go first. 10,000 to 100,000,000.
	Subjects int `mapstructure:"subjects"`
	// Bans bounds the ledger's entries, 1,000 to 10,000,000.
	Bans int `mapstructure:"bans"`
	// Familiar bounds the familiar pairs, 1,000 to 100,000,000.
	Familiar int `mapstructure:"familiar"`
}

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
