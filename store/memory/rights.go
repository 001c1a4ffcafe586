package memory

// maxRights is how many right passwords of an account are remembered at most.
const maxRights = 3

// rights are an account's right passwords, the newest first: their tokens, and
// when each was last right in Unix seconds. A time of zero marks an unused one.
type rights struct {
	token [maxRights]uint32
	at    [maxRights]uint32
}

// with returns the rights after a token was right at a time, which may be an
// earlier one. Only the newest keep are remembered.
func (r rights) with(token, at uint32, keep int) rights {
	for i := range maxRights {
		if r.token[i] == token {
			at = max(at, r.at[i])
		}
	}
	var out rights
	n, placed := 0, false
	put := func(token, at uint32) {
		if at != 0 && n < min(keep, maxRights) {
			out.token[n], out.at[n] = token, at
			n++
		}
	}
	for i := range maxRights {
		if !placed && at >= r.at[i] {
			put(token, at)
			placed = true
		}
		if r.token[i] != token {
			put(r.token[i], r.at[i])
		}
	}
	return out
}
