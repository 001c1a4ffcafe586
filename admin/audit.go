package admin

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/eventlog"
	"github.com/saslguard/saslguard/guard"
	"github.com/saslguard/saslguard/store"
)

const (
	auditSize    = 1000 // changes that are kept in memory, and in Redis
	auditTargets = 100  // of one change, that are named
	auditKeep    = 400 * 24 * time.Hour
	auditTime    = 2 * time.Second // to write one to Redis, or to read all
	maxAudited   = 64 << 10
)

// auditor remembers who changed what, and why. The log has all of it as well,
// under the name "audit".
type auditor struct {
	shared eventlog.Shared // nil: this host's own only
	log    *zap.Logger

	mu      sync.Mutex
	latest  []api.Audited
	unsaved int // how many of the latest the archive has not taken

	restored chan struct{} // closed when what it kept is in latest; nil without one
}

// audit takes note of a change, or of one that did not come about.
func (c *Control) audit(who *caller, action string, entries []store.Entry, force bool, failed error) {
	if len(entries) == 0 && failed == nil {
		return // nothing was there to be changed
	}
	a := api.Audited{
		At: time.Now().UTC(), Host: c.options.Host, Who: who.name, Via: who.via, From: who.from, Action: action,
		Count: len(entries), Targets: []string{}, Result: "done",
	}
	if force {
		a.Action += " by force"
	}
	for i := range entries[:min(len(entries), auditTargets)] {
		a.Targets = append(a.Targets, guard.Printable(nameOf(&entries[i])))
		if a.Reason == "" {
			a.Reason = entries[i].Reason
		}
	}
	if failed != nil {
		a.Result = failed.Error()
	}
	c.auditor.note(&a, who)
}

func (u *auditor) note(a *api.Audited, who *caller) {
	said := "changed by an operator"
	if a.Result != "done" {
		said = "an operator's change was refused or failed"
	}
	u.log.Info(said, zap.String("who", who.String()), zap.String("via", a.Via), zap.String("action", a.Action),
		zap.Strings("targets", a.Targets), zap.Int("count", a.Count), zap.String("reason", a.Reason), zap.String("result", a.Result))
	u.mu.Lock()
	u.latest = append(u.latest, *a)
	u.bound()
	u.unsaved = min(u.unsaved+1, len(u.latest))
	u.mu.Unlock()
	if u.shared == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), auditTime)
	defer cancel()
	text, err := json.Marshal(a)
	if err == nil {
		err = u.shared.Append(ctx, [][]byte{text}, auditSize, auditKeep)
	}
	if err != nil {
		u.log.Warn("the other hosts do not hear of this change; it is in this log", zap.Error(err))
	}
}

// audited lists the latest changes.
func (c *Control) audited(ctx context.Context, _ *caller, q *api.AuditQuery) (*api.Audit, error) {
	limit, err := within("limit", q.Limit, 100, auditSize)
	if err != nil {
		return nil, err
	}
	out := &api.Audit{Changes: []api.Audited{}}
	u := &c.auditor
	if u.shared != nil {
		ctx, cancel := context.WithTimeout(ctx, auditTime)
		defer cancel()
		lines, err := u.shared.Before(ctx, "", limit)
		if err == nil {
			for i := len(lines) - 1; i >= 0; i-- {
				var a api.Audited
				if len(lines[i].Text) <= maxAudited && json.Unmarshal(lines[i].Text, &a) == nil {
					out.Changes = append(out.Changes, printable(a))
				}
			}
			return out, nil
		}
		out.Note = "only the changes made on this host: Redis does not answer"
	}
	if u.restored == nil {
		out.Note = join(out.Note, "only the changes since saslguard started; its log has those before")
	} else if err := u.wait(ctx); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	out.Changes = append(out.Changes, u.latest[max(0, len(u.latest)-limit):]...)
	return out, nil
}

// wait waits until the changes of before the start are known.
func (u *auditor) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	select {
	case <-u.restored:
		return nil
	case <-ctx.Done():
		return unavailable(errors.New("the changes of before the start are still being read; ask again"))
	}
}

// printable holds what another host wrote to printable lines.
func printable(a api.Audited) api.Audited {
	for _, s := range []*string{&a.Host, &a.Who, &a.Via, &a.From, &a.Action, &a.Reason, &a.Result} {
		*s = store.Printable(*s)
	}
	if a.Targets == nil {
		a.Targets = []string{}
	}
	for i := range a.Targets {
		a.Targets[i] = store.Printable(a.Targets[i])
	}
	return a
}

// actionOf is what a change is called.
func actionOf(kind store.EntryKind, put bool) string {
	switch {
	case kind == store.Allow && put:
		return "allow"
	case kind == store.Allow:
		return "disallow"
	case put:
		return "ban"
	}
	return "unban"
}

// checkReason holds the reason of a change that makes no entry to what one may
// have.
func checkReason(reason string) error {
	e := store.Entry{Account: "a", Reason: reason}
	if err := e.Check(); err != nil {
		return api.Wrong("reason", "%s", strings.TrimPrefix(err.Error(), store.ErrInvalid.Error()+": "))
	}
	return nil
}

// forget drops what is known of an account.
func (c *Control) forget(ctx context.Context, who *caller, in *api.ForgetRequest) (*api.Forgotten, error) {
	err := checkReason(in.Reason)
	if in.Account == "" || len(in.Account) > store.MaxAccount {
		err = api.Wrong("account", "has %d octets; allowed are 1 to %d", len(in.Account), store.MaxAccount)
	}
	if err != nil {
		c.audit(who, "forget", nil, false, err)
		return nil, err
	}
	account := c.options.Guard.Rules().Account(in.Account)
	pairs, err := c.options.Store.ForgetAccount(ctx, account)
	note, err := laterNote(err)
	c.audit(who, "forget", []store.Entry{{Account: account, Reason: in.Reason}}, false, err)
	if err != nil {
		return nil, unavailable(err)
	}
	return &api.Forgotten{Account: account, Pairs: pairs, Note: note}, nil
}
