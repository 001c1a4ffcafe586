package daemon

import (
	"context"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// notify tells systemd, if it listens.
func (d *Daemon) notify(state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		d.log.Warn("systemd cannot be notified", zap.Error(err))
	}
}

// Reloading tells systemd that a reload begins; the function it returns, that
// it has ended.
func (d *Daemon) Reloading() func() {
	d.notify(systemd.SdNotifyReloading + "\n" + monotonic())
	return func() { d.notify(systemd.SdNotifyReady) }
}

// notifyReady tells systemd that the start is over, and then that the daemon
// lives, until the function it returns is called.
func (d *Daemon) notifyReady() (stop func()) {
	d.notify(systemd.SdNotifyReady)
	every, err := systemd.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(every / 3)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				ctx, cancel := context.WithTimeout(context.Background(), every/3)
				if d.guard.Alive(ctx) {
					d.notify(systemd.SdNotifyWatchdog)
				}
				cancel()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}
