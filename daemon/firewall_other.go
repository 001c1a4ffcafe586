//go:build !linux

package daemon

import (
	"errors"

	"github.com/saslguard/saslguard/firewall"
)

// kernelBackend is the backend nftables, which only Linux has.
func kernelBackend(firewall.Config) (firewall.Backend, firewall.Sessions, error) {
	return nil, nil, errors.New("nftables is of Linux; set firewall.backend to exec")
}

// kernelSessions ends connections where the kernel can: elsewhere the firewall's
// command does it.
func kernelSessions() firewall.Sessions { return nil }
