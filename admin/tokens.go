package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The roles. Who operates may read as well.
const (
	RoleRead    = "read"    // looks at what there is
	RoleOperate = "operate" // changes it: bans, unbans, the allowlist
)

// token is who may ask over TCP. The token itself is not kept.
type token struct {
	name string
	role string
	sum  [sha256.Size]byte
}

// tokens makes those of a configuration ready for use.
func (c *ControlConfig) tokens() ([]token, error) {
	var all []token
	for i := range c.Tokens {
		t := &c.Tokens[i]
		text, err := t.read()
		if err != nil {
			return nil, fmt.Errorf("the token %s: %w", t.Name, err)
		}
		all = append(all, token{t.Name, t.Role, sha256.Sum256([]byte(text))})
	}
	return all, nil
}

// find returns whose token a text is, or nil. How long it takes tells nothing of
// the tokens: hashes are compared, every one of them, to their ends.
func find(all []token, text string) (found *token) {
	sum := sha256.Sum256([]byte(text))
	for i := range all {
		if subtle.ConstantTimeCompare(sum[:], all[i].sum[:]) == 1 {
			found = &all[i]
		}
	}
	return found
}

// read returns the token's text. No error shows it.
func (t *TokenConfig) read() (string, error) {
	text, where := t.Token, "it"
	if t.TokenFile != "" {
		where = t.TokenFile
		if !filepath.IsAbs(t.TokenFile) {
			return "", fmt.Errorf("%q is relative; allowed is a path that begins with /", t.TokenFile)
		}
		line, err := firstLine(t.TokenFile)
		if err != nil {
			return "", err
		}
		text = line
	}
	printable := !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
	if len(text) < minToken || len(text) > maxToken || !printable {
		return "", fmt.Errorf("%s holds no token; allowed are %d to %d octets of printable ASCII without blanks, such as openssl rand -hex 32 prints",
			where, minToken, maxToken)
	}
	return text, nil
}

// firstLine reads the first line of a small file.
func firstLine(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", unreadable(path, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 2*maxToken))
	if err != nil {
		return "", unreadable(path, err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimRight(line, "\r"), nil
}

// certificate reads the certificate and its key.
func (c *ControlConfig) certificate() (*tls.Certificate, error) {
	cert, err := os.ReadFile(c.TLSCert)
	if err != nil {
		return nil, unreadable(c.TLSCert, err)
	}
	key, err := os.ReadFile(c.TLSKey)
	if err != nil {
		return nil, unreadable(c.TLSKey, err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s are no certificate and its key in PEM: %w", c.TLSCert, c.TLSKey, err)
	}
	return &pair, nil
}

// unreadable names a file once.
func unreadable(path string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("cannot be read: %s: %w", path, err)
}
