package dovecotpolicy

import (
	"context"
	"testing"
	"time"
)

func TestDeadline(t *testing.T) {
	judge := &fakeJudge{before: func(ctx context.Context) {
		at, ok := ctx.Deadline()
		if left := time.Until(at); !ok || left <= 0 || left > checkWithin {
			t.Errorf("deadline in %v", left)
		}
		if ctx.Err() != nil {
			t.Error(ctx.Err())
		}
		inner, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		select {
		case <-inner.Done():
		case <-time.After(5 * time.Second):
			t.Error("it never ends")
		}
		if ctx.Err() != context.DeadlineExceeded || inner.Err() != context.DeadlineExceeded {
			t.Error(ctx.Err(), inner.Err())
		}
	}}
	a, set := newTestAnswerer(t, testConfig(), judge)
	a.answer(set, &request{body: []byte(benchAllow)}, time.Now())
}

func TestDeadlineEnds(t *testing.T) {
	waited, unwaited := &deadline{at: time.Now().Add(time.Hour)}, &deadline{at: time.Now().Add(time.Hour)}
	done := waited.Done()
	waited.end()
	unwaited.end()
	<-done
	<-unwaited.Done()
	if waited.Err() != context.Canceled || unwaited.Err() != context.Canceled {
		t.Error(waited.Err(), unwaited.Err())
	}
	if past := (&deadline{at: time.Now()}); past.Err() != context.DeadlineExceeded || past.Value("x") != nil {
		t.Error(past.Err())
	}
}
