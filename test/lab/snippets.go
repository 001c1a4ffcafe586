package lab

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/saslguard/saslguard/configs"
)

// DovecotSnippet is the shipped snippet with the address that saslguard listens on
// and the nonce filled in, as an administrator does it.
func DovecotSnippet(t testing.TB, addr, nonce string) string {
	t.Helper()
	name := "dovecot/2.3/90-saslguard.conf"
	if Dovecot24() {
		name = "dovecot/2.4/90-saslguard.conf"
	}
	text := snippet(t, name)
	text = replace(t, text, "http://127.0.0.1:4001/", "http://"+addr+"/")
	return replace(t, text, "auth_policy_hash_nonce = change-me", "auth_policy_hash_nonce = "+nonce)
}

// PostfixService is the check_policy_service of the shipped master.cf, asked at an
// address in a policy_context.
func PostfixService(t testing.TB, addr, context string) string {
	t.Helper()
	for line := range strings.Lines(snippet(t, "postfix/master.cf")) {
		i := strings.Index(line, "check_policy_service {")
		if j := strings.Index(line, "}"); !strings.HasPrefix(line, "#") && i >= 0 && j > i && strings.Contains(line, "policy_context="+context+" ") {
			return replace(t, line[i:j+1], "inet:127.0.0.1:10035", "inet:"+addr)
		}
	}
	t.Fatalf("the shipped master.cf has no service with policy_context=%s", context)
	return ""
}

func snippet(t testing.TB, name string) string {
	t.Helper()
	text, err := configs.Snippet(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func replace(t testing.TB, text, old, new string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("the snippet no longer has %q", old)
	}
	return strings.Replace(text, old, new, 1)
}

// WrongPasswords returns n passwords, at most 4095, whose hashes differ from each
// other's and from that of the right one. Dovecot's have 12 bits, and one guess in
// 4096 that has the hash of another goes uncounted, by design: it would fail a test
// now and then.
func WrongPasswords(nonce, user, right, salt string, n int) []string {
	return DifferentHashes(nonce, user, right, n, func(yield func(string) bool) {
		for i := 0; yield(fmt.Sprintf("guess %d from %s", i, salt)); i++ {
		}
	})
}

// DifferentHashes is WrongPasswords out of a list, and as many as that has.
func DifferentHashes(nonce, user, right string, n int, list iter.Seq[string]) []string {
	hash := func(password string) uint16 {
		sum := sha256.Sum256([]byte(nonce + user + "\x00" + password))
		return binary.BigEndian.Uint16(sum[:2]) >> 4
	}
	used := map[uint16]bool{hash(right): true}
	var passwords []string
	for p := range list {
		if len(passwords) >= n {
			break
		}
		if h := hash(p); !used[h] {
			used[h] = true
			passwords = append(passwords, p)
		}
	}
	return passwords
}
