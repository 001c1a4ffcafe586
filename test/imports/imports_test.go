// Package imports holds the packages of saslguard to the one direction in which
// they may import each other.
package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/saslguard/saslguard/"

// order lists the packages from the bottom up. A package may import those of
// the lines above its own, never one of its own line or of a line below.
var order = [][]string{
	{"test/netns", "test/pages", "test/fuzzing", "packaging/notices"},
	{"score", "test/loggen/traffic", "test/bench/load"},
	{"store", "store/boltfile", "test/loggen"},
	{"store/storetest"},
	{"store/memory", "store/redis"},
	{"store/failover"},
	{"guard", "listen", "enrich", "eventlog/archive"},
	{"eventlog"},
	{"maillog"},
	{"admin/api"},
	{"admin/client"},
	{"maillog/logfile"},
	{"policy", "dovecotpolicy", "maillog/follow", "admin", "notify", "replay", "firewall"},
	{"firewall/nftables", "firewall/sockdiag", "firewall/exec"},
	{"configs"},
	{"daemon", "doctor", "test/bench/hotpath"},
	{"cmd/saslguard", "test/bench"},
	{"test/lab"},
	{"test/e2e", "test/adversary", "test/adversary/days", "test/docs", "test/imports", "test/package"},
}

type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func TestImportsGoOneWay(t *testing.T) {
	rank := map[string]int{}
	for i, line := range order {
		for _, p := range line {
			rank[p] = i
		}
	}
	for _, p := range list(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		mine, ok := rank[name]
		if !ok {
			t.Errorf("%s has no place in the order of the packages", name)
			continue
		}
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			other, ours := strings.CutPrefix(imported, module)
			if theirs, known := rank[other]; ours && other != name && (!known || theirs >= mine) {
				t.Errorf("%s imports %s, which stands beside or above it", name, other)
			}
		}
	}
}

// TestTheBottomStaysPure keeps clocks, networks and files out of the arithmetic.
func TestTheBottomStaysPure(t *testing.T) {
	for _, p := range list(t) {
		if p.ImportPath == module+"score" && len(p.Imports) > 0 {
			t.Errorf("score imports %v", p.Imports)
		}
	}
}

func list(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < len(order) {
		t.Fatalf("go list names %d packages only", len(all))
	}
	return all
}
