package notify

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"
)

// target is a receiver. send makes one try, and its errors hold no secrets.
type target interface {
	name() string
	send(ctx context.Context, m message) error
}

// finalError is one that another try will not mend.
type finalError struct{ error }

const (
	sendQueue   = 32               // messages that wait for one receiver
	sendTimeout = 10 * time.Second // of one try
	sendTries   = 5
	sendGrowth  = 5 // each pause is so much longer than the one before
)

// work is the receivers at work, each in a goroutine of its own, so that one that
// hangs holds up no other.
type work struct {
	group sync.WaitGroup
	desks []desk
}

type desk struct {
	target target
	queue  chan message
}

func (n *Notifier) open(ctx context.Context, w *work, targets []target) {
	for _, t := range targets {
		d := desk{t, make(chan message, sendQueue)}
		w.desks = append(w.desks, d)
		w.group.Go(func() {
			for m := range d.queue {
				n.deliver(ctx, d.target, m)
			}
		})
	}
}

// close lets the receivers end when they have delivered what they have.
func (w *work) close() {
	for _, d := range w.desks {
		close(d.queue)
	}
	w.desks = nil
}

// send gives a message to every receiver that has room for it.
func (w *work) send(n *Notifier, m message) {
	for _, d := range w.desks {
		select {
		case d.queue <- m:
		default:
			n.metrics.delivery(d.target.name(), resultDropped)
			n.log.Warn("a notification was dropped: too many wait for this receiver", zap.String("target", d.target.name()), zap.String("title", m.title))
		}
	}
}

// deliver tries until it works or there is no hope.
func (n *Notifier) deliver(ctx context.Context, t target, m message) {
	pause := n.pause
	for try := 1; ; try++ {
		err := attempt(ctx, t, m)
		if err == nil {
			n.metrics.delivery(t.name(), resultDelivered)
			return
		}
		n.metrics.delivery(t.name(), resultFailed)
		var final finalError
		if errors.As(err, &final) || try == sendTries || ctx.Err() != nil {
			n.metrics.delivery(t.name(), resultGivenUp)
			n.log.Error("a notification was not delivered, and is given up; see saslguard notify test",
				zap.String("target", t.name()), zap.String("title", m.title), zap.Int("tries", try), zap.Error(err))
			return
		}
		n.log.Warn("a notification was not delivered, and it is tried again",
			zap.String("target", t.name()), zap.Duration("pause", pause), zap.Error(err))
		select {
		case <-time.After(pause + rand.N(pause/4+1)):
		case <-ctx.Done(): // one last try, which fails at once where ctx is used
		}
		pause *= sendGrowth
	}
}

func attempt(ctx context.Context, t target, m message) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return t.send(ctx, m)
}
