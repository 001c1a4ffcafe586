package configs

import "testing"

func TestCollide(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:1", "127.0.0.1:1", true},
		{"127.0.0.1:1", "127.0.0.1:2", false},
		{"127.0.0.1:1", "127.0.0.2:1", false},
		{"0.0.0.0:1", "127.0.0.1:1", true},
		{":1", "[::1]:1", true},
		{"[::]:1", "192.0.2.1:1", true},
		{"127.0.0.1:0", "127.0.0.1:0", false},
		{"unix:/run/a", "unix:/run/./a", true},
		{"unix:/run/a", "unix:/run/b", false},
		{"unix:/run/a", "127.0.0.1:1", false},
		{"nonsense", "nonsense", false},
	} {
		if collide(c.a, c.b) != c.want || collide(c.b, c.a) != c.want {
			t.Errorf("%s and %s: want %t", c.a, c.b, c.want)
		}
	}
}
