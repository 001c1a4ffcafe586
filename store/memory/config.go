package memory

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
