package dovecotpolicy

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	if _, err := New(testConfig(), new(fakeJudge), Options{Registerer: registry}); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	want := []string{
		"saslguard_dovecot_answer_seconds", "saslguard_dovecot_connections",
		"saslguard_dovecot_connections_refused_total", "saslguard_dovecot_malformed_total",
		"saslguard_dovecot_requests_total", "saslguard_dovecot_skipped_total",
		"saslguard_dovecot_unauthorized_total",
	}
	if !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	if _, err := New(testConfig(), new(fakeJudge), Options{Registerer: registry}); err == nil {
		t.Error("registered twice")
	}
}
