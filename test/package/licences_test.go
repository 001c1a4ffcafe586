package packages

import (
	"os"
	"testing"
)

// TestLicences holds the list of what is linked into the program to what is.
func TestLicences(t *testing.T) {
	want, err := os.ReadFile("../../packaging/licences.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := run(t, "../..", nil, "go", "run", "./packaging/notices"); got != string(want) {
		t.Errorf("packaging/licences.txt is out of date: read what changed, and make licences\n%s", got)
	}
}
