package maillog

// dovecotAuth reads a line of the auth process, which tells of each password, if
// auth_verbose is on.
func (p *Parser) dovecotAuth(m, rest string) (Class, string) {
	if looksFailed(rest) && p.counted != DovecotAuth {
		return Login, whyElsewhere
	}
	return p.unknown(m)
}
