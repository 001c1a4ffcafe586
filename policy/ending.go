package policy

import "bytes"

// ending is how the last request of a connection ended, from behind what it says of the
// client on. Postfix goes on with twenty more attributes, and in most requests of an
// smtpd process, when a client connects, all of them are as before: to compare them at
// once takes a fraction of the time in which they are parsed.
type ending struct {
	text []byte  // whole lines, the last of them empty; none: nothing is known
	says request // of these lines, views into text
	read bool    // says is filled
}

// longestEnding bounds what a connection keeps, in bytes. Usual are 500.
const longestEnding = 2 << 10

// begins is where in b the known ending begins, if b ends with it; otherwise 0. An
// empty line may come before.
func (e *ending) begins(b []byte) int {
	at := len(b) - len(e.text)
	if len(e.text) == 0 || at < 1 || b[at-1] != '\n' || !bytes.Equal(b[at:], e.text) {
		return 0
	}
	return at
}

// learn keeps another ending. It is parsed only when it has come again.
func (e *ending) learn(text []byte) {
	e.read = false
	e.text = e.text[:0]
	if len(text) <= longestEnding {
		e.text = append(e.text, text...)
	}
}

// complete adds to a request what its ending says. Of an attribute that comes twice the
// last counts.
func (e *ending) complete(r *request) {
	if !e.read {
		e.says = request{}
		for line := range bytes.Lines(e.text) {
			line = bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'})
			e.says.take(line)
		}
		e.read = true
	}
	for _, of := range [...]struct{ to, from *[]byte }{
		{&r.kind, &e.says.kind}, {&r.state, &e.says.state}, {&r.address, &e.says.address}, {&r.clientPort, &e.says.clientPort},
		{&r.serverPort, &e.says.serverPort}, {&r.context, &e.says.context}, {&r.instance, &e.says.instance},
		{&r.method, &e.says.method}, {&r.username, &e.says.username},
	} {
		if *of.from != nil {
			*of.to = *of.from
		}
	}
}
