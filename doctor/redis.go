package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/saslguard/saslguard/store/redis"
)

// redisFacts are what is known of the Redis that hosts share.
type redisFacts struct {
	err     error // it does not answer, or not as it should
	key     []byte
	servers []redisServer
	file    os.FileMode // of password_file; 0: there is none
}

// redisServer is a Redis, or one of the masters of a cluster.
type redisServer struct {
	address string
	info    map[string]string // of INFO
	save    string            // CONFIG GET save; "?" where that may not be asked
	skew    time.Duration     // its clock less ours
	unsure  time.Duration     // how wrong skew may be
}

const (
	redisTimeout = 2 * time.Second
	maxServers   = 100
)

func lookAtRedis(ctx context.Context, cfg redis.Config) *redisFacts {
	f := new(redisFacts)
	f.err = f.read(ctx, cfg)
	return f
}

func (f *redisFacts) read(ctx context.Context, cfg redis.Config) error {
	if info, err := os.Stat(cfg.PasswordFile); cfg.PasswordFile != "" && err == nil {
		f.file = info.Mode().Perm()
	}
	// Nobody waits here, so that a slow Redis is told from one that is away.
	cfg.Timeouts.Dial, cfg.Timeouts.IO, cfg.Timeouts.Call = redisTimeout, redisTimeout, redisTimeout
	client, err := redis.Connect(cfg)
	if err != nil {
		return err
	}
	st, err := redis.New(client, cfg, redis.Options{})
	if err != nil {
		return errors.Join(err, client.Close())
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), redisTimeout)
		defer cancel()
		_ = st.Close(ctx) // nothing was written
	}()
	key := st.Key()
	f.key = key[:]
	ctx, cancel := context.WithTimeout(ctx, 3*redisTimeout)
	defer cancel()
	if cluster, ok := client.(*goredis.ClusterClient); ok {
		var mu sync.Mutex
		return cluster.ForEachMaster(ctx, func(ctx context.Context, c *goredis.Client) error {
			s, err := lookAtServer(ctx, c, c.Options().Addr)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && len(f.servers) < maxServers {
				f.servers = append(f.servers, s)
			}
			return err
		})
	}
	s, err := lookAtServer(ctx, client, strings.Join(cfg.Addresses, ", "))
	if err == nil {
		f.servers = append(f.servers, s)
	}
	return err
}

func lookAtServer(ctx context.Context, c goredis.Cmdable, address string) (redisServer, error) {
	s := redisServer{address: address, save: "?"}
	text, err := c.Info(ctx).Result()
	if err != nil {
		return s, err
	}
	s.info = parseInfo(text)
	before := time.Now()
	at, err := c.Time(ctx).Result()
	if err != nil {
		return s, err
	}
	took := time.Since(before)
	s.skew, s.unsure = at.Sub(before.Add(took/2)), took/2
	if save, err := c.ConfigGet(ctx, "save").Result(); err == nil {
		s.save = save["save"]
	}
	return s, nil
}

// parseInfo reads what INFO answers: name:value a line, and comments.
func parseInfo(text string) map[string]string {
	const most = 5000
	all := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if ok && !strings.HasPrefix(name, "#") && len(all) < most {
			all[name] = value
		}
	}
	return all
}

// key is what hosts share, for fingerprints that only they can compare.
func (h *host) key() []byte {
	if h.redis == nil {
		return nil
	}
	return h.redis.key
}

// checkRedis is about the Redis that hosts share.
func checkRedis(r *Report, h *host) {
	f := h.redis
	if f == nil {
		return
	}
	if f.file&0o007 != 0 {
		r.wrong("redis-password", h.config.Redis.PasswordFile, "chmod o= "+h.config.Redis.PasswordFile, "everybody on this host can read it (mode %04o)", f.file)
	}
	if f.err != nil {
		r.wrong("redis-answers", "", "Start Redis, or correct redis.addresses, user and password.", "Redis does not answer well: %v", f.err)
	}
	for i := range f.servers {
		checkServer(r, &f.servers[i])
	}
}

// maxSkew is how far clocks may be apart before bans and scores look odd.
const maxSkew = 2 * time.Second

func checkServer(r *Report, s *redisServer) {
	r.ok("redis-answers", s.address, "Redis %s answers", s.info["redis_version"])
	if major, minor, ok := versionOf(s.info["redis_version"]); ok && (major < 6 || major == 6 && minor < 2) {
		r.wrong("redis-version", s.address, "Upgrade Redis to 6.2 or later.", "this is Redis %s", s.info["redis_version"])
	}
	if policy := s.info["maxmemory_policy"]; strings.HasPrefix(policy, "allkeys-") {
		r.wrong("redis-eviction", s.address, "redis-cli config set maxmemory-policy noeviction, and in redis.conf:\n  maxmemory-policy noeviction", "its maxmemory-policy is %s", policy)
	} else {
		r.ok("redis-eviction", s.address, "its maxmemory-policy is %s", policy)
	}
	if s.info["aof_enabled"] == "1" {
		r.ok("redis-persistence", s.address, "it writes what it is told to disk (appendonly yes)")
	} else {
		said := "it writes nothing to disk"
		if s.save != "" {
			said = "it writes to disk now and then at most (appendonly no, save \"" + s.save + "\")"
		}
		r.wrong("redis-persistence", s.address, "redis-cli config set appendonly yes, and in redis.conf:\n  appendonly yes", "%s", said)
	}
	used, _ := strconv.ParseUint(s.info["used_memory"], 10, 64)
	most, _ := strconv.ParseUint(s.info["maxmemory"], 10, 64)
	if most > 0 && used > most/10*9 {
		r.wrong("redis-memory", s.address, "Raise maxmemory, or lower redis.max_keys.", "it uses %d MiB of the %d MiB it may", used>>20, most>>20)
	} else {
		r.ok("redis-memory", s.address, "it uses %d MiB", used>>20)
	}
	if d := s.skew.Abs(); d > maxSkew+s.unsure {
		r.wrong("redis-clock", s.address, "Have all hosts keep time: chrony, or systemd-timesyncd.", "its clock and ours are %v apart", d.Round(100*time.Millisecond))
	} else {
		r.ok("redis-clock", s.address, "its clock and ours are less than %v apart", fmt.Sprint(maxSkew))
	}
}
