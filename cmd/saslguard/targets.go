package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/saslguard/saslguard/admin/api"
	"github.com/saslguard/saslguard/guard"
)

// maxImport bounds a file of entries, in octets.
const maxImport = 16 << 20

// target is what an argument names: a prefix, an account or a host name.
type target struct{ prefix, account, name string }

// targetOf tells what an argument names. What looks like an address is never
// taken for an account, so that a mistyped one is an error. names says that a
// word with dots is a host name.
func targetOf(arg string, account, names bool) (target, error) {
	switch {
	case arg == "":
		return target{}, errors.New("it is empty; allowed is an address, a prefix or an account")
	case account:
		return target{account: arg}, nil
	case likeAddress(arg):
		if _, err := guard.ParsePrefix(arg); err != nil {
			return target{}, err
		}
		return target{prefix: arg}, nil
	case names && strings.Contains(arg, ".") && !strings.Contains(arg, "@"):
		return target{name: arg}, nil
	}
	return target{account: arg}, nil
}

func likeAddress(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return strings.ContainsAny(s, ".:/") && strings.Trim(s, "0123456789abcdefABCDEF.:/%") == ""
}

// fileOf reads a file, or standard input where its name is "-".
func fileOf(name string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxImport+1))
	if err == nil && len(text) > maxImport {
		err = fmt.Errorf("%s has more than %d octets", name, maxImport)
	}
	return text, err
}

// imported are the entries of a file: one prefix or account a line with # before
// comments, or what 'saslguard bans -o json' has written. usual is what a line
// has no word for: how long, and why. Bans that were only observed refused nobody;
// they are left out, and counted, unless they are wanted as real ones.
func imported(name string, text []byte, usual api.NewEntry, names, observed bool) (all []api.NewEntry, left int, err error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if first := bytes.TrimLeft(text, " \t\r\n"); len(first) > 0 && first[0] == '{' {
		return importedJSON(name, text, time.Now(), names, observed)
	}
	var wrong []error
	seen := map[string]int{}
	for n, line := range strings.Split(string(text), "\n") {
		word, _, _ := strings.Cut(line, "#")
		word = strings.TrimSpace(word)
		if word == "" {
			continue
		}
		t, err := targetOf(word, false, names)
		if strings.ContainsAny(word, " \t,;") {
			err = fmt.Errorf("\"%s\" is more than one word; allowed is one address, prefix or account a line", guard.Printable(word))
		}
		if first := seen[word]; first > 0 {
			err = fmt.Errorf("%s is in line %d already", guard.Printable(word), first)
		}
		seen[word] = n + 1
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s:%d: %w", name, n+1, err))
			continue
		}
		e := usual
		e.Prefix, e.Account, e.Name = t.prefix, t.account, t.name
		all = append(all, e)
	}
	all, err = checked(name, all, wrong)
	return all, 0, err
}

// importedJSON reads what 'saslguard bans -o json' has written or, for the allowlist,
// 'saslguard allow list -o json'. One is never taken for the other: whom that would
// ban are the administrator's friends.
func importedJSON(name string, text []byte, now time.Time, allow, observed bool) (all []api.NewEntry, left int, err error) {
	source := "saslguard bans -o json"
	if allow {
		source = "saslguard allow list -o json"
	}
	var in api.Entries
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		line := 1 + bytes.Count(text[:min(int(d.InputOffset()), len(text))], []byte("\n"))
		return nil, 0, fmt.Errorf("%s:%d: it is not what %s writes: %w; nothing was done", name, line, source, err)
	}
	var wrong []error
	for i := range in.Entries {
		e := &in.Entries[i]
		if e.Until != nil && !e.Until.After(now) {
			continue // its time is over
		}
		_, err := e.Store()
		if err == nil && allow != (e.Kind == api.Allow) {
			err = fmt.Errorf("its kind is %s; allowed is what %s writes", e.Kind, source)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: entries[%d]: %w", name, i, err))
			continue
		}
		if e.Observed && !observed {
			left++
			continue
		}
		n := api.NewEntry{Prefix: e.Prefix, Account: e.Account, Name: e.Name, Reason: e.Reason, Permanent: e.Until == nil}
		if e.Until != nil {
			n.Until = e.Until.Format(time.RFC3339)
		}
		all = append(all, n)
	}
	if left > 0 && len(all)+len(wrong) == 0 {
		return nil, left, fmt.Errorf("%s has no entries but bans that were only observed; --observed makes them real", name)
	}
	all, err = checked(name, all, wrong)
	return all, left, err
}

// maxWrong is how many wrong lines are told.
const maxWrong = 20

// checked returns entries, or what is wrong with them: all or nothing.
func checked(name string, all []api.NewEntry, wrong []error) ([]api.NewEntry, error) {
	switch n := len(wrong); {
	case n > maxWrong:
		return nil, fmt.Errorf("%w\nand %d more; nothing was done", errors.Join(wrong[:maxWrong]...), n-maxWrong)
	case n > 0:
		return nil, fmt.Errorf("%w\nnothing was done", errors.Join(wrong...))
	case len(all) == 0:
		return nil, fmt.Errorf("%s has no entries", name)
	case len(all) > api.MaxEntries:
		return nil, fmt.Errorf("%s has %d entries; allowed are at most %d at a time", name, len(all), api.MaxEntries)
	}
	return all, nil
}
