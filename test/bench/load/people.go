package load

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
)

// Kind is what a server knows of a client.
type Kind uint8

// The kinds of client. Each has addresses of its own, every one of them the only one
// of its network.
const (
	New     Kind = iota // never seen before, and wrong
	Known               // seen before
	Banned              // in the ledger
	Allowed             // on the allowlist
	kinds
)

// String returns the name by which -mix calls it.
func (k Kind) String() string { return [...]string{"new", "known", "banned", "allowed"}[k] }

// AllowedClients is the prefix to put on the allowlist.
const AllowedClients = "101.0.0.0/8"

// Addr is the address of the n-th client of a kind.
func (k Kind) Addr(n int) netip.Addr {
	first := [...]byte{New: 31, Known: 11, Banned: 91, Allowed: 101}[k]
	networks := [...]int{New: 60 << 16, Known: 20 << 16, Banned: 9 << 16, Allowed: 1 << 16}[k]
	n %= networks
	return netip.AddrFrom4([4]byte{first + byte(n>>16), byte(n >> 8), byte(n), 66})
}

// Command is what a question asks for.
type Command uint8

// The commands. Postfix and Redis know one question only, and it is Allow.
const (
	Allow Command = iota
	Report
)

// Question is who asks what.
type Question struct {
	Kind    Kind
	N       int // of its kind
	Command Command
	Success bool   // what a report says
	Try     uint32 // another one is another password
}

// Source says what is asked next. It is used by one thread.
type Source interface{ Next(q *Question) }

// Mix is how often clients of each kind come, out of the sum of all.
type Mix [kinds]int

// ParseMix reads new=25,known=50,banned=20,allowed=5.
func ParseMix(text string) (m Mix, err error) {
	sum := 0
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > 1000 {
			return m, fmt.Errorf("%q is no part of a mix such as new=25,known=50,banned=20,allowed=5", part)
		}
		found := false
		for k := range kinds {
			if k.String() == name {
				m[k], found = n, true
				sum += n
			}
		}
		if !found {
			return m, fmt.Errorf("there are no %q clients; there are new, known, banned and allowed ones", name)
		}
	}
	if sum == 0 {
		return m, fmt.Errorf("a mix of nobody: %q", text)
	}
	return m, nil
}

// Sizes are how many clients of each kind there are. That of New does not count.
type Sizes [kinds]int

// Crowd are the clients of a run. Who is known or allowed logs in, the others guess.
type Crowd struct {
	Mix      Mix
	Sizes    Sizes
	Commands []Command     // what each client does, one after the other; none: Allow
	Fresh    *atomic.Int64 // how many new clients have come so far, in all runs
}

// Source returns the clients as one thread meets them: the same for the same thread.
func (c *Crowd) Source(thread int) Source {
	commands := c.Commands
	if len(commands) == 0 {
		commands = []Command{Allow}
	}
	sum := 0
	for _, n := range c.Mix {
		sum += n
	}
	return &visitors{crowd: c, rand: rand.New(rand.NewPCG(uint64(thread), 2)), commands: commands, sum: sum, step: len(commands)}
}

// visitors are a crowd as one thread meets it.
type visitors struct {
	crowd    *Crowd
	rand     *rand.Rand
	commands []Command
	sum      int
	who      Question
	step     int // of commands, the next
}

func (v *visitors) Next(q *Question) {
	if v.step == len(v.commands) {
		v.step = 0
		v.meet()
	}
	*q = v.who
	q.Command = v.commands[v.step]
	v.step++
}

// meet finds who comes next.
func (v *visitors) meet() {
	at := v.rand.IntN(v.sum)
	for k, n := range v.crowd.Mix {
		if at -= n; at >= 0 {
			continue
		}
		v.who = Question{Kind: Kind(k), Success: Kind(k) == Known || Kind(k) == Allowed}
		break
	}
	if v.who.Kind == New {
		v.who.N = int(v.crowd.Fresh.Add(1) - 1)
		return
	}
	v.who.N = v.rand.IntN(max(v.crowd.Sizes[v.who.Kind], 1))
}

// Reports are Tries reports of each of the first Clients clients of a kind, each with
// another password, and then from the beginning.
type Reports struct {
	Kind    Kind
	Clients int
	Tries   int
	Success bool

	next atomic.Int64
}

// Source returns the reports as one thread sees them.
func (r *Reports) Source(int) Source { return r }

// Next implements Source.
func (r *Reports) Next(q *Question) {
	at := int(r.next.Add(1) - 1)
	*q = Question{Kind: r.Kind, N: at % r.Clients, Command: Report, Success: r.Success, Try: uint32(at / r.Clients % r.Tries)}
}
