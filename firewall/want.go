package firewall

import (
	"maps"
	"net/netip"

	"github.com/gaissmai/bart"
	"go.uber.org/zap"

	"github.com/saslguard/saslguard/store"
)

// telling is what was said of a prefix, so that it is said once.
type telling struct {
	prefix netip.Prefix
	why    Spare
}

// maxTold bounds what is remembered of it.
const maxTold = 10_000

// spares says why a ban of the ledger is not enforced here, or "".
func (a *Agent) spares(k key, until moment) Spare {
	if was, flushed := a.flushed[k]; flushed {
		if was == until {
			return SpareFlushed
		}
		delete(a.flushed, k) // it was made anew since
	}
	e, whole := k.element(until), !a.backend.Traits().Layered
	if why := a.spared.judge(e, whole); why != "" {
		return why
	}
	if e.Layer != Ban {
		return ""
	}
	for range a.allowed.Supernets(k.prefix) {
		return SpareAllowed
	}
	if whole {
		for range a.allowed.Subnets(k.prefix) {
			return SpareAllowed
		}
	}
	return ""
}

// spare counts a ban that is not enforced, and says why, once.
func (a *Agent) spare(k key, why Spare) {
	t := telling{k.prefix, why}
	if a.told[t] {
		return
	}
	if len(a.told) >= maxTold {
		clear(a.told)
	}
	a.told[t] = true
	a.metrics.spared.WithLabelValues(string(why)).Inc()
	switch {
	case why == SpareFlushed, why == SpareFull && a.full:
	case why == SpareAllowed:
		a.log.Debug("a ban is not enforced by the firewall", zap.Stringer("prefix", k.prefix), zap.String("because", why.says()))
	default:
		a.full = a.full || why == SpareFull
		a.log.Warn("a ban is not enforced by the firewall", zap.Stringer("prefix", k.prefix), zap.String("because", why.says()))
	}
}

// ban works out what follows from one ban that has changed.
func (a *Agent) ban(k key, changes []Change) []Change {
	until, there := a.entries[k]
	e := k.element(until)
	if !there || until.over(momentOf(a.now())) {
		delete(a.flushed, k)
		return a.shadow.remove(e.Layer, k.prefix, changes)
	}
	why := a.spares(k, until)
	if _, enforced := a.shadow.get(e.Set(), k.prefix); why == "" && !enforced && a.bans() >= a.settings.Config.MaxBans {
		why = SpareFull
	}
	if why != "" {
		a.spare(k, why)
		return a.shadow.remove(e.Layer, k.prefix, changes)
	}
	return a.shadow.put(e, changes)
}

// bans is how many are enforced.
func (a *Agent) bans() int { return a.shadow.count(OperatorBan) + a.shadow.count(Ban) }

// place is where an element is, whatever its end.
type place struct {
	layer  Layer
	prefix netip.Prefix
}

// reconcile compares all that is wanted with the shadow. Where everything is about to
// be replaced anyway, it returns no changes.
func (a *Agent) reconcile(changes []Change) []Change {
	kept := func(changes []Change) []Change {
		if a.stale {
			return changes[:0]
		}
		return changes
	}
	if a.shadow.empty() {
		a.wanted(func(e Element) { changes = kept(a.shadow.put(e, changes)) })
		return changes
	}
	want := make(map[place]moment, len(a.entries)+64)
	a.wanted(func(e Element) { want[place{e.Layer, e.Prefix}] = momentOf(e.Until) })
	var gone []place
	a.shadow.each(func(e Element, _ bool) {
		if _, wanted := want[place{e.Layer, e.Prefix}]; !wanted {
			gone = append(gone, place{e.Layer, e.Prefix})
		}
	})
	for _, p := range gone {
		changes = kept(a.shadow.remove(p.layer, p.prefix, changes))
	}
	for p, until := range want {
		changes = kept(a.shadow.put(Element{p.layer, p.prefix, until.time()}, changes))
	}
	return changes
}

// wanted calls f with all elements that are to be enforced; of one that comes twice
// the later counts.
func (a *Agent) wanted(f func(Element)) {
	now := momentOf(a.now())
	for _, e := range a.spared.elements() {
		f(e)
	}
	a.allowed, a.allowEnd = new(bart.Lite), 0
	for k, until := range a.entries {
		if k.kind != store.Allow || until.over(now) {
			continue
		}
		a.allowed.Insert(k.prefix)
		f(k.element(until))
		if until != 0 && (a.allowEnd == 0 || until < a.allowEnd) {
			a.allowEnd = until
		}
	}
	// The configuration's are permanent, whatever the ledger says of them.
	for _, p := range a.settings.Allow {
		a.allowed.Insert(p)
		f(Element{Layer: Allow, Prefix: p})
	}
	maps.DeleteFunc(a.flushed, func(k key, _ moment) bool { _, there := a.entries[k]; return !there })
	a.fill(now, f)
}

// fill calls f with the bans that are to be enforced: operators' first, then what is
// enforced already, so that with more than max_bans it is the same ones that stay.
func (a *Agent) fill(now moment, f func(Element)) {
	room := a.settings.Config.MaxBans
	var late []key
	take := func(k key, until moment) {
		if room > 0 {
			room--
			f(k.element(until))
			return
		}
		a.spare(k, SpareFull)
	}
	crowded := len(a.entries) > room
	for _, kind := range []store.EntryKind{store.OperatorBan, store.AutomaticBan} {
		for k, until := range a.entries {
			if k.kind != kind || until.over(now) {
				continue
			}
			if why := a.spares(k, until); why != "" {
				a.spare(k, why)
				continue
			}
			if crowded {
				if _, enforced := a.shadow.get(k.element(until).Set(), k.prefix); !enforced {
					late = append(late, k)
					continue
				}
			}
			take(k, until)
		}
		for _, k := range late {
			take(k, a.entries[k])
		}
		late = late[:0]
	}
	if room > 0 {
		a.full = false
	}
}
