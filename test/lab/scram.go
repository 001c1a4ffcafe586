package lab

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// scramClient speaks SCRAM (RFC 5802) without channel binding.
func scramClient(m Mechanism, user, password string) saslClient {
	newHash := sha256.New
	if m == SCRAMSHA1 {
		newHash = sha1.New
	}
	bare := "n=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user) + ",r=" + rand.Text()
	var serverSignature []byte
	step := 0
	return saslClient{first: true, answer: func(challenge []byte) ([]byte, error) {
		step++
		switch step {
		case 1:
			return []byte("n,," + bare), nil
		case 2:
			reply, signature, err := scramProof(newHash, password, bare, string(challenge))
			serverSignature = signature
			return []byte(reply), err
		case 3:
			want := "v=" + base64.StdEncoding.EncodeToString(serverSignature)
			if !bytes.HasPrefix(challenge, []byte(want)) {
				return nil, fmt.Errorf("%s: the server does not know the password either: %q", m, challenge)
			}
			return nil, nil
		}
		return nil, fmt.Errorf("%s: the server asks a fourth time", m)
	}}
}

// scramProof answers the server's nonce, salt and count.
func scramProof(newHash func() hash.Hash, password, bare, challenge string) (reply string, serverSignature []byte, err error) {
	var nonce, salt, count string
	for field := range strings.SplitSeq(challenge, ",") {
		switch name, value, _ := strings.Cut(field, "="); name {
		case "r":
			nonce = value
		case "s":
			salt = value
		case "i":
			count = value
		}
	}
	rawSalt, err1 := base64.StdEncoding.DecodeString(salt)
	n, err2 := strconv.Atoi(count)
	if err := errors.Join(err1, err2); err != nil {
		return "", nil, fmt.Errorf("SCRAM challenge %q: %w", challenge, err)
	}
	salted, err := pbkdf2.Key(newHash, password, rawSalt, n, newHash().Size())
	if err != nil {
		return "", nil, err
	}
	mac := func(key []byte, text string) []byte {
		h := hmac.New(newHash, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	final := "c=biws,r=" + nonce
	signed := bare + "," + challenge + "," + final
	clientKey := mac(salted, "Client Key")
	stored := newHash()
	stored.Write(clientKey)
	proof := make([]byte, len(clientKey))
	subtle.XORBytes(proof, clientKey, mac(stored.Sum(nil), signed))
	return final + ",p=" + base64.StdEncoding.EncodeToString(proof), mac(mac(salted, "Server Key"), signed), nil
}
