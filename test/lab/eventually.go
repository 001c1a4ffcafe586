package lab

import (
	"errors"
	"time"
)

// errFinal is an error that trying again will not mend.
type errFinal struct{ error }

// eventually calls try until it returns nil, or an [errFinal], or the time is
// up; then it returns the last error.
func eventually(timeout time.Duration, try func() error) error {
	deadline := time.Now().Add(timeout)
	for {
		err := try()
		if err == nil {
			return nil
		}
		if final, ok := errors.AsType[errFinal](err); ok {
			return final.error
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}
