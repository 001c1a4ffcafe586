package api

import (
	"fmt"

	"github.com/saslguard/saslguard/store"
)

// LedgerEvent is a line of GET /v1/ledger/watch: a change of the ledger, or a
// sign of life.
type LedgerEvent struct {
	Event    EventName `json:"event"`
	Entry    *Entry    `json:"entry,omitempty"`    // of put and removed
	Position string    `json:"position,omitempty"` // the ledger's after the event
	Ledger   string    `json:"ledger,omitempty"`   // of reset: what keeps the ledger
}

// EventName says what a LedgerEvent tells.
type EventName string

// The events. All but the last are store.Event's.
const (
	Reset     EventName = "reset"     // a snapshot begins
	Put       EventName = "put"       // an entry is in force
	Removed   EventName = "removed"   // an entry is not, any more
	Synced    EventName = "synced"    // the snapshot is complete
	Reached   EventName = "reached"   // nothing changes, but the ledger has come to a position
	Heartbeat EventName = "heartbeat" // the server lives
)

var eventNames = [...]EventName{store.Reset: Reset, store.Put: Put, store.Removed: Removed, store.Synced: Synced, store.Reached: Reached}

// FromEvent is a store's event.
func FromEvent(e *store.Event) LedgerEvent {
	out := LedgerEvent{Ledger: e.Ledger}
	if int(e.Kind) < len(eventNames) {
		out.Event = eventNames[e.Kind]
	}
	if !e.Position.IsZero() {
		out.Position = e.Position.String()
	}
	if e.Kind == store.Put || e.Kind == store.Removed {
		entry := FromEntry(&e.Entry)
		out.Entry = &entry
	}
	return out
}

// Store returns the event as a store tells it; false for a sign of life.
func (e *LedgerEvent) Store() (out store.Event, ok bool, err error) {
	if e.Event == Heartbeat {
		return store.Event{}, false, nil
	}
	known := false
	for i, name := range eventNames {
		if name == e.Event {
			out.Kind, known = store.EventKind(i), true
		}
	}
	if !known {
		return store.Event{}, false, fmt.Errorf("%q is no event of the ledger", e.Event)
	}
	out.Ledger = e.Ledger
	if e.Position != "" {
		if out.Position, err = store.ParsePosition(e.Position); err != nil {
			return store.Event{}, false, err
		}
	}
	if out.Kind != store.Put && out.Kind != store.Removed {
		return out, true, nil
	}
	if e.Entry == nil {
		return store.Event{}, false, fmt.Errorf("the event %s has no entry", e.Event)
	}
	if out.Entry, err = e.Entry.Store(); err != nil {
		return store.Event{}, false, err
	}
	return out, true, nil
}

// Agent is what a host's firewall agent says of itself, in
// POST /v1/firewall/agent and where hosts are listed.
type Agent struct {
	Backend  string `json:"backend"`            // nftables, exec or dryrun
	State    string `json:"state"`              // a word: running, paused, failing
	Position string `json:"position,omitempty"` // all that the ledger held there is enforced
	Bans     int    `json:"bans"`               // how many are enforced
	Error    string `json:"error,omitempty"`    // the last that went wrong
}

// FromAgent is an agent's state.
func FromAgent(a *store.AgentState) Agent {
	out := Agent{Backend: a.Backend, State: a.State, Bans: a.Bans, Error: a.Error}
	if !a.Position.IsZero() {
		out.Position = a.Position.String()
	}
	return out
}

// Store returns the state as a store has it.
func (a *Agent) Store() (out store.AgentState, err error) {
	out = store.AgentState{Backend: a.Backend, State: a.State, Bans: a.Bans, Error: a.Error}
	if a.Position != "" {
		if out.Position, err = store.ParsePosition(a.Position); err != nil {
			return store.AgentState{}, err
		}
	}
	return out.Checked(), nil
}

// Done is the answer where there is nothing else to say.
type Done struct {
	OK bool `json:"ok"`
}
