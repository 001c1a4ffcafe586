package doctor

import (
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/store"
)

// slowAgent is for how long an agent may not have brought a ban into the firewall.
const slowAgent = 30 * time.Second

// checkAgent is about what the firewall agent of this host says of itself.
func checkAgent(r *Report, h *host) {
	if h.control.err != nil {
		return
	}
	host, agent := here(&h.control.status)
	switch expected := h.expectsAgent(); {
	case agent == nil && expected:
		r.wrong("firewall-agent", "", "journalctl -u saslguard-firewall (or -u saslguard, with firewall.enabled) has the reason.", "there should be a firewall agent, and none says that it is there: bans are not in the firewall")
		return
	case agent == nil:
		r.info("firewall-agent", "", "saslguard setup firewall; docs/firewall.md has the rest.", "there is none: bans refuse at Postfix and Dovecot, and not in the firewall")
		return
	case agent.State == "paused":
		r.wrong("firewall-agent", agent.Backend, "saslguard firewall resume", "it is paused: bans are not in the firewall")
		return
	case agent.State != "running":
		r.wrong("firewall-agent", agent.Backend, "saslguard firewall status, and the log of the agent", "it is %s: %s", agent.State, agent.Error)
		return
	case agent.Error != "":
		r.wrong("firewall-agent", agent.Backend, "saslguard firewall status, and the log of the agent", "it runs, with %d bans, and something went wrong: %s", agent.Bans, agent.Error)
		return
	}
	if late := agentLag(host, agent, h.at); late > slowAgent {
		r.wrong("firewall-agent", agent.Backend, "saslguard firewall status, and the log of the agent", "it runs, and a change of %s ago is not in the firewall yet", late.Round(time.Second))
		return
	}
	if agent.Backend == "dryrun" {
		r.info("firewall-agent", agent.Backend, "In saslguard.yaml:\n  firewall:\n    backend: nftables", "it only says what it would do: bans are not in the firewall")
		return
	}
	r.ok("firewall-agent", agent.Backend, "it says that it holds %d bans", agent.Bans)
}

// expectsAgent tells whether this host is set up to have a firewall agent.
func (h *host) expectsAgent() bool {
	if h.config.Firewall.Enabled {
		return true
	}
	return h.units != nil && h.units.units["saslguard-firewall.service"]["ActiveState"] == "active"
}

// here is this host in a status, and its firewall agent, nil if none speaks.
func here(s *api.Status) (*api.Host, *api.Agent) {
	for i := range s.Hosts {
		if h := &s.Hosts[i]; h.Name == s.Host {
			return h, h.Firewall
		}
	}
	return nil, nil
}

// agentLag is for how long at least an agent has not come to what its host knows.
func agentLag(h *api.Host, a *api.Agent, now time.Time) time.Duration {
	known, err := store.ParsePosition(h.Position)
	if err != nil {
		return 0
	}
	enforced, err := store.ParsePosition(a.Position)
	if err == nil && enforced.Compare(known) >= 0 {
		return 0
	}
	return now.Sub(time.UnixMilli(int64(known.Millis)))
}
