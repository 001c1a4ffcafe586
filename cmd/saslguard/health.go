package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/saslguard/saslguard/admin"
)

// healthTimeout is how long the running saslguard may take to answer.
const healthTimeout = 3 * time.Second

func newHealth() *cobra.Command {
	var s settings
	var output string
	c := &cobra.Command{
		Use:   "health",
		Short: "Ask the running saslguard whether it works",
		Long: `Asks /healthz of the saslguard that runs here (admin.listen), and says how each
part works. Exit code 0 if it serves, also where it does so with less than it
should have (degraded: without Redis, or without a disk), else 1.`,
		Example: `  saslguard health
  saslguard health -o json
  saslguard health --config ./saslguard.yaml`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return usageError{fmt.Errorf("--output %q is not known; allowed is table or json", output)}
			}
			conf, err := s.load()
			if err != nil {
				return err
			}
			h, err := askHealth(c.Context(), conf.Admin.Listen)
			if err != nil {
				return err
			}
			if err := writeHealth(c.OutOrStdout(), h, output); err != nil {
				return err
			}
			if h.State == admin.Failing {
				return errors.New("saslguard is failing")
			}
			return nil
		},
	}
	s.flags(c.Flags())
	c.Flags().StringVarP(&output, "output", "o", "table", "`format`: table or json")
	return c
}

func askHealth(ctx context.Context, address string) (admin.Health, error) {
	var h admin.Health
	if address == "" {
		return h, errors.New("admin.listen is empty, so nobody can be asked")
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
	if err != nil {
		return h, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return h, fmt.Errorf("no saslguard answers on %s: %w", address, err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<16)).Decode(&h); err != nil {
		return h, fmt.Errorf("%s does not answer like saslguard: %w", address, err)
	}
	return h, nil
}

func writeHealth(w io.Writer, h admin.Health, output string) error {
	if output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(h)
	}
	if _, err := fmt.Fprintf(w, "%-10s %-9s version %s, mode %s\n", "saslguard", h.State, h.Version, h.Mode); err != nil {
		return err
	}
	for _, p := range h.Parts {
		if _, err := fmt.Fprintf(w, "%-10s %-9s %s\n", p.Name, p.State, p.Detail); err != nil {
			return err
		}
	}
	return nil
}
