package doctor

import (
	"fmt"
	"net/netip"
	"strings"
)

// checkTrusted is about whom Dovecot believes which address a client has.
func checkTrusted(r *Report, h *host) {
	d := h.dovecot
	if !d.asks() {
		return
	}
	for _, setting := range []string{"login_trusted_networks", "haproxy_trusted_networks"} {
		for _, p := range prefixes(d.get(setting)) {
			if p.Bits() <= 8 && !p.Addr().IsPrivate() && !p.Addr().IsLoopback() {
				r.wrong("dovecot-forged", p.String(), set(setting+" = (the addresses of your proxies and webmails, no more)"),
					"%s has %s: all of it may say to have any address, and have others banned", setting, p)
			}
		}
	}
	for _, p := range prefixes(d.get("login_trusted_networks")) {
		if allowed(h, p) {
			r.ok("dovecot-trusted", p.String(), "it is in login_trusted_networks and on saslguard's allowlist")
			continue
		}
		all := strings.Join(append(quoted(h.config.Rules.AllowClients), quoted([]string{p.String()})...), ", ")
		r.wrong("dovecot-trusted", p.String(), fmt.Sprintf("In saslguard.yaml:\n  rules:\n    allow_clients: [%s]", all),
			"Dovecot trusts it (login_trusted_networks), and it is not in rules.allow_clients")
	}
}

// prefixes reads a list of networks as Dovecot has it; what is none, such as a
// host name, is left out.
func prefixes(list string) []netip.Prefix {
	var all []netip.Prefix
	for _, word := range strings.FieldsFunc(list, func(r rune) bool { return r == ' ' || r == ',' }) {
		if p, err := netip.ParsePrefix(word); err == nil {
			all = append(all, p.Masked())
		} else if a, err := netip.ParseAddr(word); err == nil {
			all = append(all, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return all
}
