package boltfile

import (
	"strings"
	"testing"
)

func TestShort(t *testing.T) {
	if got := short(strings.Repeat("ß", 150)); got != strings.Repeat("ß", 100) {
		t.Errorf("got %q", got)
	}
	if got := short(strings.Repeat("€", 80)); got != strings.Repeat("€", 66) {
		t.Errorf("got %q", got)
	}
}
