package admin

import (
	"context"
	"net/netip"
	"testing"

	"github.com/saslguard/saslguard/admin/api"
)

// Lists say where addresses are from by what is known; only explain asks.
func TestWhereAddressesAreFrom(t *testing.T) {
	w := newWorld(t)
	asked := 0
	w.control.options.Known = func(a netip.Addr) string { return "known: " + a.String() }
	w.control.options.Describe = func(_ context.Context, a netip.Addr) string { asked++; return "asked: " + a.String() }
	w.fail("203.0.113.5", "alice", 25)
	bans, err := w.client.Bans(t.Context(), api.BansQuery{})
	if err != nil || len(bans.Entries) != 1 || bans.Entries[0].From != "known: 203.0.113.5" {
		t.Errorf("bans: %v %+v", err, bans)
	}
	report, err := w.client.Report(t.Context(), api.ReportQuery{})
	if err != nil || len(report.Clients) != 1 || report.Clients[0].From != "known: 203.0.113.5" || asked != 0 {
		t.Errorf("report: %v %+v", err, report)
	}
	x, err := w.client.Explain(t.Context(), api.ExplainQuery{Address: "203.0.113.5"})
	if err != nil || x.From != "asked: 203.0.113.5" || asked != 1 {
		t.Errorf("explain: %v %q", err, x.From)
	}
	if x, err := w.client.Explain(t.Context(), api.ExplainQuery{Account: "alice"}); err != nil || x.From != "" || asked != 1 {
		t.Errorf("explain of an account: %v %q", err, x.From)
	}
}
