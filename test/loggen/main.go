// The loggen command writes the log of a mail server that never was, for benchmarks
// and for trying 'saslguard replay'.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/saslguard/saslguard/test/loggen/traffic"
)

func main() {
	var o traffic.Options
	var start string
	flag.IntVar(&o.Lines, "lines", 100_000, "how many lines")
	flag.DurationVar(&o.Span, "span", 7*24*time.Hour, "from the first line to the last")
	flag.StringVar(&start, "start", "2026-11-22T00:00:00Z", "time of the first line, RFC 3339")
	flag.Uint64Var(&o.Seed, "seed", 1, "another number is another log")
	flag.BoolVar(&o.Old, "old", false, "timestamps of RFC 3164")
	flag.BoolVar(&o.IPv6, "ipv6", false, "some guess by IPv6")
	flag.BoolVar(&o.Dovecot, "dovecot", false, "some log in and guess by IMAP")
	flag.Parse()
	err := run(o, start)
	if err != nil {
		fmt.Fprintln(os.Stderr, "loggen:", err)
		os.Exit(1)
	}
}

func run(o traffic.Options, start string) error {
	var err error
	if o.Start, err = time.Parse(time.RFC3339, start); err != nil {
		return err
	}
	_, err = traffic.Write(os.Stdout, o)
	return err
}
