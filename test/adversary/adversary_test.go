// Package adversary holds saslguard against attackers, and against being in the
// way of owners: real Postfix, Dovecot and Redis on one or two hosts, guessers that
// do what guessers do, and, as the only figures that count, how many of their
// passwords Dovecot's own database was asked for (never what saslguard says of
// itself) and what became of the logins of owners.
//
// A scenario starts a [site], attacks it, and adds a [row] to the table that is
// printed at the end. The short form, in which scenarios are small and nobody is
// delayed, is what the test command runs. The long one has Dovecot's and saslguard's
// own delays, and more guesses:
//
//	go test ./test/adversary -v -adversary.long -timeout 30m
package adversary

import (
	"flag"
	"os"
	"testing"

	"github.com/saslguard/saslguard/test/lab"
)

// long is whether the long form runs.
var long = flag.Bool("adversary.long", false, "run the long form: more guesses, and the delays as they are shipped")

// TestMain runs scenarios side by side: each has servers of its own, and what they do
// is mostly to wait for delays. At the end it prints the table.
func TestMain(m *testing.M) {
	flag.Parse()
	sideBySide := "6"
	if *long {
		sideBySide = "12" // they wait for longer delays
	}
	if err := flag.Set("test.parallel", sideBySide); err != nil {
		panic(err)
	}
	os.Exit(withTable(func() int { return lab.Main(m) }))
}
