package eventlog

import (
	"fmt"
	"time"
)

// Config is the `events` part of the configuration.
type Config struct {
	// Keep is how long events are kept, 1m to 30d; 0 is not at all.
	Keep time.Duration `mapstructure:"keep"`
	// Max is how many are kept at most, of each host and in Redis, 1,000 to
	// 1,000,000. About 400 octets each.
	Max int `mapstructure:"max"`
}

// Check reports everything that is wrong with the configuration, by keys
// relative to it.
func (c *Config) Check(problem func(key, text string)) {
	if c.Keep != 0 && (c.Keep < time.Minute || c.Keep > 30*24*time.Hour) {
		problem("keep", fmt.Sprintf("%v is out of range; allowed is 1m to 30d, or 0s for not at all", c.Keep))
	}
	if c.Max < 1000 || c.Max > 1_000_000 {
		problem("max", fmt.Sprintf("%d is out of range; allowed is 1000 to 1000000", c.Max))
	}
}
