package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/saslguard/saslguard/maillog"
)

// writeFields writes how a line was read.
func writeFields(w io.Writer, fields []maillog.Field) error {
	for _, f := range fields {
		if _, err := fmt.Fprintf(w, "%-12s %s\n", f.Name, f.Value); err != nil {
			return err
		}
	}
	return nil
}

// explainAll says of each line how it is read.
func explainAll(in io.Reader, out io.Writer, parser *maillog.Parser) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maillog.MaxLine+1)
	n := 0
	for ; lines.Scan(); n++ {
		if n > 0 {
			if _, err := fmt.Fprintln(out); err != nil {
				return err
			}
		}
		if err := writeFields(out, parser.Explain(lines.Bytes())); err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("line %d is longer than %d bytes", n+1, maillog.MaxLine)
	case err != nil:
		return fmt.Errorf("reading standard input: %w", err)
	case n == 0:
		return errors.New("standard input is empty: there is no line to explain")
	}
	return nil
}
