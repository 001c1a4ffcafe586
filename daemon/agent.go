package daemon

import (
	"sync"
	"time"

	"github.com/saslguard/saslguard/store"
)

// agentLife is after how long an agent that says nothing more is gone. It says
// something every few seconds.
const agentLife = 20 * time.Second

// agentBoard is what the firewall agent of this host has said last.
type agentBoard struct {
	mu    sync.Mutex
	state store.AgentState // At is zero before it has said anything
}

// note takes what the agent says.
func (b *agentBoard) note(a store.AgentState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a.At = time.Now()
	b.state = a
}

// latest returns what it has said, nil if there is no agent.
func (b *agentBoard) latest() *store.AgentState {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state.At.IsZero() || time.Since(b.state.At) > agentLife {
		return nil
	}
	state := b.state
	return &state
}
