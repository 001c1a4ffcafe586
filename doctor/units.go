package doctor

import (
	"context"
	"os"
	"strings"
)

// unitFacts are what systemd knows; nil: there is no systemd.
type unitFacts struct {
	err   error
	units map[string]map[string]string // by name, its properties
}

func lookAtUnits(ctx context.Context) *unitFacts {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return nil
	}
	u := new(unitFacts)
	path, err := find("", "systemctl")
	if err != nil {
		return nil
	}
	out, _, err := run(ctx, path, "show", "--no-pager", "--property=Id,LoadState,ActiveState,UnitFileState,AmbientCapabilities", "--",
		"saslguard.service", "saslguard-dovecot.socket", "saslguard-firewall.service")
	if err != nil {
		u.err = err
		return u
	}
	u.units = parseUnits(out)
	return u
}

// parseUnits reads what `systemctl show` prints: name=value a line, and an empty
// line between units.
func parseUnits(text string) map[string]map[string]string {
	const most = 1000
	units := map[string]map[string]string{}
	unit := map[string]string{}
	n := 0
	for line := range strings.Lines(text + "\n") {
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			if id := unit["Id"]; id != "" {
				units[id] = unit
			}
			unit = map[string]string{}
			continue
		}
		if name, value, ok := strings.Cut(line, "="); ok && n < most {
			n++
			unit[name] = value
		}
	}
	if id := unit["Id"]; id != "" {
		units[id] = unit
	}
	return units
}

// checkUnits is about the units of systemd.
func checkUnits(r *Report, h *host) {
	switch {
	case h.units == nil:
		return // no systemd, or another supervisor
	case h.units.err != nil:
		r.info("unit", "", "", "systemd cannot be asked: %v", h.units.err)
		return
	}
	service := h.units.units["saslguard.service"]
	switch {
	case service["LoadState"] != "loaded":
		r.info("unit", "saslguard.service", "saslguard setup systemd/saslguard.service > /etc/systemd/system/saslguard.service\nsystemctl daemon-reload && systemctl enable --now saslguard", "systemd has no such unit: who starts saslguard after a reboot?")
		return
	case service["ActiveState"] == "failed":
		r.wrong("unit", "saslguard.service", "journalctl -u saslguard has the reason; then: systemctl restart saslguard", "it has failed, and systemd does not start it again")
	case service["UnitFileState"] != "enabled":
		r.wrong("unit", "saslguard.service", "systemctl enable saslguard", "it is not started at boot (%s)", service["UnitFileState"])
	default:
		r.ok("unit", "saslguard.service", "it is %s and started at boot", service["ActiveState"])
	}
	if socket := h.units.units["saslguard-dovecot.socket"]; socket["LoadState"] != "loaded" && h.dovecot.asks() {
		r.info("unit-socket", "saslguard-dovecot.socket", "saslguard setup systemd/saslguard-dovecot.socket > /etc/systemd/system/saslguard-dovecot.socket\nsystemctl daemon-reload && systemctl enable --now saslguard-dovecot.socket", "it is not installed: after a restart of saslguard Dovecot may not ask for up to a minute")
	}
	checkFirewallUnit(r, h, h.units.units["saslguard-firewall.service"])
}

// checkFirewallUnit is about the unit of the agent that brings bans into the kernel.
func checkFirewallUnit(r *Report, h *host, unit map[string]string) {
	const name = "saslguard-firewall.service"
	switch {
	case unit["LoadState"] != "loaded" && h.control.err == nil:
		return // checkAgent knows better: serve may run one
	case unit["LoadState"] != "loaded":
		r.info("firewall-unit", name, "", "it is not installed: bans refuse at Postfix and Dovecot, and not in the firewall")
		return
	case unit["ActiveState"] == "failed":
		r.wrong("firewall-unit", name, "journalctl -u saslguard-firewall has the reason; then: systemctl restart saslguard-firewall", "it has failed: bans are not in the firewall")
	default:
		r.ok("firewall-unit", name, "it is %s", unit["ActiveState"])
	}
	if !strings.Contains(strings.ToLower(unit["AmbientCapabilities"]), "cap_net_admin") {
		r.wrong("firewall-rights", name, "In the unit:\n  [Service]\n  AmbientCapabilities=CAP_NET_ADMIN\n  CapabilityBoundingSet=CAP_NET_ADMIN\nthen: systemctl daemon-reload && systemctl restart saslguard-firewall", "it has no CAP_NET_ADMIN (AmbientCapabilities)")
	} else {
		r.ok("firewall-rights", name, "it has CAP_NET_ADMIN")
	}
}
