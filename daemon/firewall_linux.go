package daemon

import (
	"github.com/saslguard/saslguard/firewall"
	"github.com/saslguard/saslguard/firewall/nftables"
	"github.com/saslguard/saslguard/firewall/sockdiag"
)

// kernelBackend is the backend nftables, which only Linux has.
func kernelBackend(c firewall.Config) (firewall.Backend, firewall.Sessions, error) {
	b, err := nftables.New(c, nftables.Options{})
	return b, kernelSessions(), err
}

// kernelSessions ends connections where the kernel can.
func kernelSessions() firewall.Sessions { return sockdiag.Sessions{} }
