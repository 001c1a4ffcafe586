package dovecotpolicy

import (
	"crypto/tls"
	"fmt"
	"time"
)

// settings are the part of a Config that a reload replaces, made ready for use.
// They are immutable.
type settings struct {
	refuse      []byte // the answer to a refused question
	staleAfter  time.Duration
	empty       emptyHash
	credentials credentials
	certificate *tls.Certificate // nil: no TLS
}

func newSettings(cfg *Config) (*settings, error) {
	if text := badMessage(cfg.RefuseMessage); text != "" {
		return nil, fmt.Errorf("dovecot: refuse_message %s", text)
	}
	s := &settings{
		// A message that is not bad needs no escapes.
		refuse:      []byte(`{"status":-1,"msg":"` + cfg.RefuseMessage + `"}`),
		staleAfter:  cfg.StaleAfter,
		credentials: newCredentials(cfg),
	}
	if cfg.Nonce != "" {
		s.empty = emptyHash{nonce: cfg.Nonce, sum: hashMech(cfg.HashMech), bits: cfg.HashTruncate}
		if s.empty.sum == nil {
			return nil, fmt.Errorf("dovecot: unknown hash_mech %q", cfg.HashMech)
		}
	}
	if cfg.TLSCert != "" || cfg.TLSKey != "" {
		certificate, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("dovecot: tls_cert and tls_key: %w", err)
		}
		s.certificate = &certificate
	}
	return s, nil
}
