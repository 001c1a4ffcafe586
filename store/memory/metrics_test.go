package memory

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saslguard/saslguard/store"
)

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	opts := quick(filepath.Join(t.TempDir(), "state.db"), newClock())
	opts.Registerer = registry
	s, err := Open(testConfig(), opts)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, 20)
	if _, err := s.Put(context.Background(), store.Entry{Kind: store.Allow, Account: "a"}); err != nil {
		t.Fatal(err)
	}
	got := gathered(t, registry)
	for name, want := range map[string]float64{
		"saslguard_store_ledger_entries/automatic_ban": 2,
		"saslguard_store_ledger_entries/allow":         1,
		"saslguard_store_ledger_entries/operator_ban":  0,
		"saslguard_store_familiar_pairs":               20,
		"saslguard_store_evictions_total":              0,
		"saslguard_store_write_errors_total":           0,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v (%v), want %v", name, value, ok, want)
		}
	}
	if got["saslguard_store_subjects"] < 40 {
		t.Errorf("%v subjects", got["saslguard_store_subjects"])
	}
	if _, err := Open(testConfig(), opts); err == nil {
		t.Error("opened twice")
	}
	closeStore(t, s)
	if left := gathered(t, registry); len(left) != 0 {
		t.Errorf("left registered: %v", left)
	}
	open(t, testConfig(), opts) // registers them again
}

// gathered returns the values of counters and gauges by name and label.
func gathered(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += "/" + l.GetValue()
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return values
}
