package lab

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// commandWithin is how long the lab's own commands may take.
const commandWithin = 5 * time.Second

// do sends one command over a connection of its own: one that is kept would
// outlive the server at its other end.
func (r *Redis) do(args ...any) (any, error) {
	// Dialled here, since go-redis writes each failure to stderr, and waiting
	// for a server makes many.
	conn, err := net.DialTimeout("tcp", r.Addr, time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	c := redis.NewClient(&redis.Options{
		Dialer:                   func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		Protocol:                 2,
		MaxRetries:               -1,
		PoolSize:                 1,
		ContextTimeoutEnabled:    true,
		DisableIdentity:          true, // which a sentinel refuses
		MaintNotificationsConfig: withoutMaintenance(),
	})
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), commandWithin)
	defer cancel()
	answer, err := c.Do(ctx, args...).Result()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %v: %w", r.name, r.Addr, args, err)
	}
	return answer, nil
}

// doAll sends commands until one fails.
func (r *Redis) doAll(commands ...[]any) error {
	for _, c := range commands {
		if _, err := r.do(c...); err != nil {
			return err
		}
	}
	return nil
}

// info is one field of INFO; "" where there is no such field.
func (r *Redis) info(section, field string) (string, error) {
	answer, err := r.do("INFO", section)
	if err != nil {
		return "", err
	}
	text, _ := answer.(string)
	return infoField(text, field), nil
}

// infoField reads "field:value" from the lines of INFO and CLUSTER INFO.
func infoField(text, field string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
