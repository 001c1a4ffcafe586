package admin

// Config is the `admin` part of the configuration.
type Config struct {
	// Listen is where /metrics and /healthz are served, "host:port"; "" is
	// nowhere.
	Listen string `mapstructure:"listen"`
}
