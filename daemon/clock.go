package daemon

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// monotonic is what Type=notify-reload wants beside RELOADING=1, sd_notify(3).
func monotonic() string {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return ""
	}
	return "MONOTONIC_USEC=" + strconv.FormatInt(t.Nano()/1000, 10)
}
