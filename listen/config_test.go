package listen

import (
	"slices"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	long := "unix:/" + strings.Repeat("a", 106)
	for _, test := range []struct {
		name string
		cfg  Config
		want string // "key: part of the text", "" for no problem
	}{
		{"nothing", Config{}, ""},
		{"typical", Config{Listen: []string{"127.0.0.1:4000", "[::1]:4000", ":4001", "localhost:4002", "unix:/run/saslguard/policy"}, SocketMode: "0660", SocketOwner: "root:0"}, ""},
		{"107 bytes", Config{Listen: []string{long}}, ""},
		{"108 bytes", Config{Listen: []string{long + "a"}}, "listen[0]: at most 107 bytes"},
		{"relative", Config{Listen: []string{"unix:policy"}}, "listen[0]: absolute"},
		{"abstract", Config{Listen: []string{"unix:@policy"}}, "listen[0]: absolute"},
		{"directory", Config{Listen: []string{"unix:/run/saslguard/"}}, "listen[0]: not a plain path"},
		{"control", Config{Listen: []string{"unix:/run/a\nb"}}, "listen[0]: not a plain path"},
		{"no port", Config{Listen: []string{"127.0.0.1:4000", "127.0.0.1"}}, "listen[1]: neither host:port"},
		{"no brackets", Config{Listen: []string{"::1:4000"}}, "listen[0]: in brackets"},
		{"port 0", Config{Listen: []string{"127.0.0.1:0"}}, "listen[0]: from 1 to 65535"},
		{"port 65536", Config{Listen: []string{"127.0.0.1:65536"}}, "listen[0]: from 1 to 65535"},
		{"named port", Config{Listen: []string{"127.0.0.1:smtp"}}, "listen[0]: from 1 to 65535"},
		{"host", Config{Listen: []string{"a b:25"}}, "listen[0]: the host"},
		{"Postfix's form", Config{Listen: []string{"inet:127.0.0.1:25"}}, "listen[0]: neither host:port"},
		{"twice", Config{Listen: []string{":25", ":25"}}, "listen[1]: twice"},
		{"mode without zero", Config{SocketMode: "660"}, ""},
		{"decimal mode", Config{SocketMode: "0680"}, "socket_mode: octal"},
		{"setuid", Config{SocketMode: "4755"}, "socket_mode: octal"},
		{"symbolic", Config{SocketMode: "g+w"}, "socket_mode: octal"},
		{"group only", Config{SocketOwner: ":postfix"}, ""},
		{"user only", Config{SocketOwner: "postfix"}, ""},
		{"ids", Config{SocketOwner: "102:105"}, ""},
		{"no group", Config{SocketOwner: "postfix:"}, "socket_owner: user:group"},
		{"unknown user", Config{Listen: []string{"unix:/run/policy"}, SocketOwner: "nobody-of-this-name"}, "socket_owner: there is no user"},
		{"unknown group", Config{Listen: []string{"unix:/run/policy"}, SocketOwner: "root:nobody-of-this-name"}, "socket_owner: there is no group"},
		{"unknown, without a socket", Config{Listen: []string{":25"}, SocketOwner: "nobody-of-this-name"}, ""},
		{"two colons", Config{SocketOwner: "a:b:c"}, "socket_owner: user:group"},
		{"space", Config{SocketOwner: "post fix"}, "socket_owner: user:group"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			test.cfg.Check(func(key, text string) { got = append(got, key+": "+text) })
			if test.want == "" {
				if len(got) != 0 {
					t.Errorf("got %q, want no problem", got)
				}
				return
			}
			key, text, _ := strings.Cut(test.want, ": ")
			if len(got) != 1 || !strings.HasPrefix(got[0], key+": ") || !strings.Contains(got[0], text) {
				t.Errorf("got %q, want one %q", got, test.want)
			}
		})
	}
}

func TestExposed(t *testing.T) {
	exposed := []string{":4000", "0.0.0.0:4000", "[::]:4000", "192.0.2.1:4000", "mail.example.org:4000"}
	cfg := Config{Listen: append([]string{"127.0.0.1:4000", "[::1]:4000", "[::ffff:127.0.0.1]:4000", "localhost:4000", "unix:/run/policy"}, exposed...)}
	if got := cfg.Exposed(); !slices.Equal(got, exposed) {
		t.Errorf("got %q, want %q", got, exposed)
	}
}
