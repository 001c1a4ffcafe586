package doctor

import (
	"context"
	"fmt"
	"strings"
)

// DovecotNewest is the newest 2.x of Dovecot whose settings are known.
const DovecotNewest = 4

// PostfixVersion asks the Postfix of this machine for its version: "3.7.11".
func PostfixVersion(ctx context.Context) (string, error) {
	return firstWord(ctx, "postconf", func(out string) string { return out }, "-h", "mail_version")
}

// DovecotVersion asks the Dovecot of this machine: "2.3.19.1".
func DovecotVersion(ctx context.Context) (string, error) {
	return firstWord(ctx, "dovecot", func(out string) string { return out }, "--version")
}

// SystemdVersion asks the systemd of this machine: "252".
func SystemdVersion(ctx context.Context) (string, error) {
	return firstWord(ctx, "systemctl", func(out string) string { return strings.TrimPrefix(out, "systemd ") }, "--version")
}

// firstWord is the first word of what a program prints, which has to be a
// version: it goes into what people are told.
func firstWord(ctx context.Context, program string, trim func(string) string, args ...string) (string, error) {
	path, err := find("", program)
	if err != nil {
		return "", err
	}
	out, _, err := run(ctx, path, args...)
	if err != nil {
		return "", err
	}
	words := strings.Fields(trim(out))
	if len(words) == 0 || !isVersion(words[0]) {
		return "", fmt.Errorf("%s does not say its version", program)
	}
	return words[0], nil
}

// isVersion tells whether s begins with a number, and is short and plain.
func isVersion(s string) bool {
	const most = 40
	return len(s) <= most && s != "" && s[0] >= '0' && s[0] <= '9' && strings.Trim(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-+~_") == ""
}

// ParseVersion returns the first two numbers of a version such as 3.7.11, 2.4 or
// 252, the second of which may be missing.
func ParseVersion(s string) (major, minor int, err error) {
	if !isVersion(s) {
		return 0, 0, fmt.Errorf("%q is no version", plain(s, maxSubject))
	}
	if _, err := fmt.Sscanf(s, "%d.%d", &major, &minor); err != nil && major == 0 {
		return 0, 0, fmt.Errorf("%q is no version", plain(s, maxSubject))
	}
	return major, minor, nil
}
