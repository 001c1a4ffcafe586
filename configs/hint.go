package configs

import "strings"

// hint is the end of a message about an unknown key: the key that was probably
// meant, or those that there are.
func (f *field) hint(key string) string {
	if k := elsewhere(lastName(key)); k != "" {
		return "; it is called " + k + " here"
	}
	var known []string
	for _, c := range f.fields {
		known = append(known, c.key)
	}
	schema().walk(func(c *field) { known = append(known, c.key) })
	if k := nearest(key, known); k != "" {
		return "; did you mean " + k + "?"
	}
	return "; allowed are " + f.names()
}

// elsewhere is what administrators call things in other programs (fail2ban).
func elsewhere(name string) string {
	switch name {
	case "maxretry":
		return "rules.client.refuse"
	case "findtime":
		return "rules.half_life"
	case "bantime":
		return "rules.ban.first"
	case "ignoreip":
		return "rules.allow_clients"
	}
	return ""
}

// nearest returns the known key that a key was probably meant to be: one that is
// spelled like it, or one of the same name in another section; else "".
func nearest(key string, known []string) string {
	const longest = 64 // a longer key is no slip of the finger
	if len(key) > longest {
		return ""
	}
	name := lastName(key)
	slips := max(2, len(name)/3)
	if len(name) <= 4 {
		slips = 1 // with two, foo would be log
	}
	best, least := "", slips+1
	for _, k := range known {
		if strings.EqualFold(k, key) {
			return k
		}
		if d := distance(key, k); d < least && distance(name, lastName(k)) < len(name) {
			best, least = k, d
		}
	}
	if best != "" {
		return best
	}
	for _, k := range known {
		if lastName(k) == name {
			return k
		}
	}
	return ""
}

func lastName(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// distance is how many octets must be changed, added or taken away to make b
// of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// printable is a key as it is shown: as it was written, if that can be read.
func printable(key string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
	if key == "" || len(key) > 60 || strings.Trim(key, plain) != "" {
		return quote(key)
	}
	return key
}
