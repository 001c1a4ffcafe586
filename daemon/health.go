package daemon

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/saslguard/saslguard/admin"
	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/store"
)

// measure registers what belongs to no part.
func (d *Daemon) measure() error {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "saslguard_build_info", Help: "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": d.version},
	})
	info.Set(1)
	agent := func(name, help string, value func(*store.AgentState) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			if a := d.agent.latest(); a != nil {
				return value(a)
			}
			return 0
		})
	}
	for _, c := range []prometheus.Collector{
		info,
		agent("saslguard_firewall_agent_up", "1 while the firewall agent of this host says that it is there.",
			func(*store.AgentState) float64 { return 1 }),
		agent("saslguard_firewall_agent_bans", "Bans that the firewall of this host holds, as its agent said last.",
			func(a *store.AgentState) float64 { return float64(a.Bans) }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := d.metrics.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (d *Daemon) health() admin.Health {
	h := admin.Health{Version: d.version, Mode: mode(d.guard.Rules())}
	bans := admin.Part{Name: "bans", State: admin.Failing, Detail: "not all are known yet"}
	select {
	case <-d.guard.Synced():
		bans = admin.Part{Name: "bans", State: admin.OK}
	default:
	}
	h.Parts = []admin.Part{bans, part("store", d.local.Health)}
	if d.shared != nil {
		h.Parts = append(h.Parts, part("redis", d.shared.Health))
	}
	if d.archive != nil {
		h.Parts = append(h.Parts, part("events", d.archive.Health))
	}
	if d.logs.Enabled() {
		h.Parts = append(h.Parts, part("maillog", d.logs.Health))
	}
	if d.firewall != nil {
		h.Parts = append(h.Parts, d.firewall.health())
	}
	return h
}

// part is the health of a part that does its work with less when it is not ok.
func part(name string, health func() (ok bool, detail string)) admin.Part {
	ok, detail := health()
	p := admin.Part{Name: name, State: admin.OK, Detail: detail}
	if !ok {
		p.State = admin.Degraded
	}
	return p
}

func mode(r *guard.Rules) string {
	if r.Enforce() {
		return configs.Enforce
	}
	return configs.Observe
}
