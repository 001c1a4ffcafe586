package firewall

import (
	"context"

	"go.uber.org/zap"
)

// NewDryRun returns a backend that only says what it would do, at info for
// changes of up to ten bans and in numbers for more.
func NewDryRun(log *zap.Logger) Backend { return dryRun{log} }

type dryRun struct{ log *zap.Logger }

func (dryRun) Name() string                           { return DryRun }
func (dryRun) Traits() Traits                         { return Traits{Layered: true, Expires: true} }
func (dryRun) Intact(context.Context) (string, error) { return "", nil }
func (dryRun) Close(context.Context) error            { return nil }
func (d dryRun) Remove(context.Context) error         { d.log.Info("would remove everything"); return nil }
func (d dryRun) Replace(_ context.Context, all []Element) error {
	numbers := map[Layer]int{}
	for _, e := range all {
		numbers[e.Layer]++
	}
	d.log.Info("would build the firewall", zap.Int("operator_bans", numbers[OperatorBan]), zap.Int("bans", numbers[Ban]),
		zap.Int("allowed", numbers[Allow]), zap.Int("never", numbers[Never]))
	return nil
}

func (d dryRun) Apply(_ context.Context, changes []Change) error {
	const few = 10
	if len(changes) > few {
		d.log.Info("would change the firewall", zap.Int("changes", len(changes)))
		return nil
	}
	for _, c := range changes {
		what := "would put into the firewall"
		if c.Remove {
			what = "would take out of the firewall"
		}
		d.log.Info(what, zap.Stringer("layer", c.Layer), zap.Stringer("prefix", c.Prefix), zap.Time("until", c.Until))
	}
	return nil
}
