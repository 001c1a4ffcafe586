package redis

import (
	"fmt"
	"testing"

	"go.uber.org/zap/zaptest"

	"github.com/saslguard/saslguard/store"
	"github.com/saslguard/saslguard/store/storetest"
)

func TestContractStandalone(t *testing.T) {
	holdToContract(t, testConfig(startServer(t, "--appendonly", "no").addr))
}

func TestContractCluster(t *testing.T) {
	holdToContract(t, clusterConfig(startCluster(t, 3)))
}

// holdToContract runs the contract with a prefix for each test, which is as good
// as an empty server.
func holdToContract(t *testing.T, cfg Config) {
	n := 0
	cfg.MaxEntries = 1000
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		n++
		cfg.Prefix = fmt.Sprintf("test%d", n)
		c := newTestClock()
		opts := Options{Logger: zaptest.NewLogger(t), Now: c.now}
		s := openStore(t, cfg, opts)
		return storetest.Fixture{Store: s, Now: c.now, Advance: c.advance, Bans: cfg.MaxEntries, Reopen: func() store.Store {
			closeStore(t, s)
			s = openStore(t, cfg, opts)
			return s
		}}
	})
}
