package eventlog

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// encode is a batch of events as texts, each as encoding/json has it. There may be as
// many as there are clients of a net of bots, so it is done without reflection. The
// texts are parts of one.
func encode(batch []Event) [][]byte {
	const usual = 400
	all, ends := make([]byte, 0, usual*len(batch)), make([]int, 0, len(batch))
	for i := range batch {
		all = batch[i].append(all)
		ends = append(ends, len(all))
	}
	texts, from := make([][]byte, len(batch)), 0
	for i, to := range ends {
		texts[i], from = all[from:to:to], to
	}
	return texts
}

// append appends the event as JSON: the fields in their order, as their tags say.
func (e *Event) append(b []byte) []byte {
	b = appendTime(append(b, `{"at":`...), e.At)
	b = appendJSON(append(b, `,"kind":`...), string(e.Kind))
	b = appendJSON(append(b, `,"host":`...), e.Host)
	b = appendText(b, `,"via":`, e.Via)
	b = appendText(b, `,"service":`, e.Service)
	b = appendText(b, `,"mechanism":`, e.Mechanism)
	b = appendText(b, `,"address":`, e.Address)
	b = appendText(b, `,"client":`, e.Client)
	b = appendText(b, `,"network":`, e.Network)
	b = appendText(b, `,"from":`, e.From)
	b = appendText(b, `,"account":`, e.Account)
	b = appendText(b, `,"outcome":`, e.Outcome)
	b = strconv.AppendInt(append(b, `,"count":`...), int64(e.Count), 10)
	b = appendText(b, `,"action":`, e.Action)
	b = appendText(b, `,"would":`, e.Would)
	b = appendText(b, `,"rule":`, e.Rule)
	b = appendText(b, `,"reason":`, e.Reason)
	b = appendNumber(b, `,"delay":`, e.Delay)
	b = appendNumber(b, `,"added":`, e.Added)
	b = appendNumber(b, `,"points":`, e.Points)
	b = appendText(b, `,"by":`, e.By)
	if e.Until != nil {
		b = appendTime(append(b, `,"until":`...), *e.Until)
	}
	if e.Times != 0 {
		b = strconv.AppendInt(append(b, `,"times":`...), int64(e.Times), 10)
	}
	if e.Observed {
		b = append(b, `,"observed":true`...)
	}
	return append(b, '}')
}

// appendText appends a field, if there is a text.
func appendText(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	return appendJSON(append(b, name...), s)
}

// appendJSON appends a text in quotes. Nearly all are plain.
func appendJSON(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			quoted, _ := json.Marshal(s) // a text always has a form
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// appendNumber appends a field, if it is a number and not 0. It is one of points or
// seconds, which encoding/json writes without an exponent.
func appendNumber(b []byte, name string, f float64) []byte {
	size := math.Abs(f)
	switch {
	case f == 0 || math.IsNaN(f) || math.IsInf(f, 0):
		return b
	case size < 1e-6 || size >= 1e21:
		number, _ := json.Marshal(f) // it is finite
		return append(append(b, name...), number...)
	}
	return strconv.AppendFloat(append(b, name...), f, 'f', -1, 64)
}

// appendTime appends a time, or null where it is none that can be written.
func appendTime(b []byte, t time.Time) []byte {
	was := len(b)
	b, err := t.AppendText(append(b, '"'))
	if err != nil {
		return append(b[:was], "null"...)
	}
	return append(b, '"')
}
