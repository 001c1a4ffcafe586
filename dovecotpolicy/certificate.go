package dovecotpolicy

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// certificate reads TLSCert and TLSKey. Everything that is wrong with them is a
// problem with its key, and then there is no certificate.
func (c *Config) certificate(problem func(key, text string)) *tls.Certificate {
	cert, certErr := os.ReadFile(c.TLSCert)
	if certErr == nil {
		certErr = holdsCertificate(cert)
	}
	if certErr != nil {
		problem("tls_cert", withPath(certErr, c.TLSCert))
	}
	key, keyErr := os.ReadFile(c.TLSKey)
	if keyErr != nil {
		problem("tls_key", withPath(keyErr, c.TLSKey))
	}
	if certErr != nil || keyErr != nil {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		problem("tls_key", fmt.Sprintf("%s is not the key of the certificate in %s: %v", c.TLSKey, c.TLSCert, err))
		return nil
	}
	return &pair
}

// holdsCertificate says what is wrong with a PEM file by itself.
func holdsCertificate(text []byte) error {
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		switch {
		case block == nil:
			return errors.New("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")
		case block.Type == "CERTIFICATE":
			_, err := x509.ParseCertificate(block.Bytes)
			return err
		}
	}
}

// withPath is an error about a file as one line that names it once.
func withPath(err error, path string) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Sprintf("cannot be read: %s: %v", path, p.Err)
	}
	return fmt.Sprintf("%s: %v", path, err)
}
