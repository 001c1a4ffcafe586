package days

import (
	"flag"
	"slices"
	"sync"
	"testing"

	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/guard"
)

var (
	update = flag.Bool("update", false, "write the tables in docs/rules.md")
	vary   = flag.Bool("vary", false, "live through the days under other rules too, which takes minutes")
)

// TestDays has attackers and owners live for days under the shipped rules.
func TestDays(t *testing.T) {
	all := slices.Concat(attacks(), people(), limits())
	result := lived(t, configs.Default().Rules, all)
	for _, s := range all {
		f, ok := result[s.name]
		switch {
		case !ok:
		case s.limit == "" && (f.hurt > 0 || len(f.hit) > 0):
			t.Errorf("%s: %d of %d logins with the right password were refused, of %d accounts; bans: %v", s.name, f.hurt, f.logins, f.victims, f.hit)
		case s.limit != "" && f.hurt == 0:
			t.Errorf("%s: nobody was refused, which docs/rules.md denies", s.name)
		}
	}
	if len(result) < len(all) {
		return // only some were asked for
	}
	if !result[outage].braked {
		t.Errorf("%s: bans do not pause", outage)
	}
	written(t, "attackers", attackTable(attacks(), result))
	written(t, "owners", ownerTable(people(), result))
	written(t, "limits", limitTable(limits(), result))
	if *vary {
		variants(t, result)
	} else {
		holds(t, variantRow(asShipped, result))
	}
}

// lived lets scenarios come to pass under rules, side by side.
func lived(t *testing.T, rules guard.Config, all []scenario) map[string]figures {
	t.Helper()
	result := map[string]figures{}
	var mu sync.Mutex
	t.Run("days", func(t *testing.T) {
		for _, s := range all {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				f := live(t, rules, s.days, s.populate).figures()
				mu.Lock()
				defer mu.Unlock()
				result[s.name] = f
			})
		}
	})
	return result
}
