package dovecotpolicy

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saslguard/saslguard/test/fuzzing"
)

// badBody is a body that cannot be read, and why.
type badBody struct {
	body, want string
	reason     malformed
}

func badBodies() []badBody {
	return []badBody{
		{``, "want an object at byte 0", badJSON},
		{`null`, "want an object at byte 0", badJSON},
		{`[]`, "want an object at byte 0", badJSON},
		{`"login"`, "want an object at byte 0", badJSON},
		{"\xef\xbb\xbf{}", "want an object at byte 0", badJSON},
		{`{`, "want a string at byte 1", badJSON},
		{`{}{}`, "data after the object at byte 2", badJSON},
		{"{}\x00", "data after the object at byte 2", badJSON},
		{`{"login":"a"},`, "data after the object at byte 13", badJSON},
		{`{"login":"a",}`, "want a string at byte 13", badJSON},
		{`{"login":"a" "remote":""}`, "want a comma or the end of the object at byte 13", badJSON},
		{`{"login" "a"}`, "want a colon at byte 9", badJSON},
		{`{login:"a"}`, "want a string at byte 1", badJSON},
		{`{'login':"a"}`, "want a string at byte 1", badJSON},
		{`{"login":"a`, "string without an end at byte 11", badJSON},
		{`{"login":"a\`, "string without an end at byte 11", badJSON},
		{`{"login":"a\"`, "string without an end at byte 13", badJSON},
		{"{\"login\":\"a\nb\"}", "control character in a string at byte 11", badJSON},
		{"{\"login\":\"\\ta\nb\"}", "control character in a string at byte 13", badJSON},
		{`{"login":"\x41"}`, "unknown escape in a string at byte 10", badJSON},
		{`{"login":"\u00g0"}`, "bad unicode escape in a string at byte 10", badJSON},
		{`{"login":"\u00"}`, "bad unicode escape in a string at byte 10", badJSON},
		{`{"success":True}`, "want a value at byte 11", badJSON},
		{`{"success":tru}`, "want a value at byte 11", badJSON},
		{`{"success":truely}`, "want a comma or the end of the object at byte 15", badJSON},
		{`{"x":01}`, "want a comma or the end of the object at byte 6", badJSON},
		{`{"x":+1}`, "want a value at byte 5", badJSON},
		{`{"x":.5}`, "want a value at byte 5", badJSON},
		{`{"x":1.}`, "want a digit at byte 7", badJSON},
		{`{"x":1e+}`, "want a digit at byte 8", badJSON},
		{`{"x":-}`, "want a value at byte 6", badJSON},
		{`{"x":NaN}`, "want a value at byte 5", badJSON},
		{`{"x":[1,]}`, "want a value at byte 8", badJSON},
		{`{"x":[1 2]}`, "want a comma or the end of the value at byte 8", badJSON},
		{`{"x":{"y"}}`, "want a colon at byte 9", badJSON},
		{`{"x":[}`, "want a value at byte 6", badJSON},
		{`{"x":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`, "nested too deeply at byte 36", badJSON},

		{`{"login":null}`, "login must be a string at byte 9", badType},
		{`{"login":1}`, "login must be a string at byte 9", badType},
		{`{"pwhash":false}`, "pwhash must be a string at byte 10", badType},
		{`{"remote":["::1"]}`, "remote must be a string at byte 10", badType},
		{`{"protocol":{}}`, "protocol must be a string at byte 12", badType},
		{`{"session_id":0}`, "session_id must be a string at byte 14", badType},
		{`{"fail_type":null}`, "fail_type must be a string at byte 13", badType},
		{`{"mech":-1e9}`, "mech must be a string at byte 8", badType},
		{`{"success":"true"}`, "success must be true or false at byte 11", badType},
		{`{"success":1}`, "success must be true or false at byte 11", badType},
		{`{"policy_reject": null}`, "policy_reject must be true or false at byte 18", badType},
		{`{"login":nul}`, "want a value at byte 9", badJSON},
	}
}

func TestParseRejects(t *testing.T) {
	for _, c := range badBodies() {
		_, err := parse([]byte(c.body))
		var bad *parseError
		if !errors.As(err, &bad) || err.Error() != c.want || bad.reason != c.reason {
			t.Errorf("%s: %v, want %s", c.body, err, c.want)
		}
	}
}

func TestParseKeepsBytesThatAreNoUTF8(t *testing.T) {
	f, err := parse([]byte("{\"login\":\"al\xe9\xff\",\"\xff\":\"\xc0\"}"))
	if err != nil || string(f.login) != "al\xe9\xff" {
		t.Errorf("%q, %v", f.login, err)
	}
	f, err = parse([]byte("{\"login\":\"\\u0061\xe9\"}"))
	if err != nil || string(f.login) != "a\xe9" {
		t.Errorf("with an escape: %q, %v", f.login, err)
	}
}

func TestParseNestsAsDeepAsItSays(t *testing.T) {
	n := maxDepth - 1
	if _, err := parse([]byte(`{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`)); err != nil {
		t.Error(err)
	}
}

// FuzzParse holds the scanner against encoding/json: both accept the same
// bodies and find the same in them, but for nesting, which is bounded here.
func FuzzParse(f *testing.F) {
	for _, c := range readCases(f) {
		f.Add([]byte(c.body()))
	}
	for _, c := range badBodies() {
		f.Add([]byte(c.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		got, err := parse(body)
		if !bytes.Equal(body, before) {
			t.Fatal("the body was changed")
		}
		var bad *parseError
		if errors.As(err, &bad) {
			if strings.HasPrefix(bad.text, "nested") {
				return
			}
			if bad.at > len(body) {
				t.Fatalf("%v, but there are %d", err, len(body))
			}
		}
		want, ok := model(body)
		if ok != (err == nil) {
			t.Fatalf("%q: %v, but encoding/json: %t", body, err, ok)
		}
		if !ok {
			return
		}
		for name, pair := range map[string][2]string{
			"login":      {string(got.login), want.Login},
			"pwhash":     {string(got.hash), want.Hash},
			"remote":     {string(got.remote), want.Remote},
			"protocol":   {string(got.protocol), want.Protocol},
			"session_id": {string(got.session), want.Session},
			"fail_type":  {string(got.failType), want.FailType},
			"mech":       {string(got.mechanism), want.Mech},
		} {
			// What is no UTF-8 is kept here and replaced there.
			if string([]rune(pair[0])) != pair[1] {
				t.Errorf("%q: %s is %q, want %q", body, name, pair[0], pair[1])
			}
		}
		if got.told != want.Told || got.success != want.Success || got.policyReject != want.Reject {
			t.Errorf("%q: %+v, want %+v", body, got, want)
		}
		// What was accepted must become an attempt without a fault.
		(&got).attempt(&settings{})
	})
}

type modelFields struct {
	Login, Hash, Remote, Protocol, Session, FailType, Mech string
	Told, Success, Reject                                  bool
}

// model reads a body with encoding/json, each attribute by its exact name. Every
// occurrence must have the right type, so duplicates are looked at one by one.
func model(body []byte) (m modelFields, ok bool) {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' || !json.Valid(body) {
		return m, false
	}
	texts := map[string]*string{"login": &m.Login, "pwhash": &m.Hash, "remote": &m.Remote,
		"protocol": &m.Protocol, "session_id": &m.Session, "fail_type": &m.FailType, "mech": &m.Mech}
	flags := map[string]*bool{"success": &m.Success, "policy_reject": &m.Reject}
	d := json.NewDecoder(bytes.NewReader(body))
	d.Token()
	for d.More() {
		name, _ := d.Token()
		var value any
		if err := d.Decode(&value); err != nil {
			return m, false
		}
		if to := texts[name.(string)]; to != nil {
			if *to, ok = value.(string); !ok {
				return m, false
			}
		}
		if to := flags[name.(string)]; to != nil {
			if *to, ok = value.(bool); !ok {
				return m, false
			}
			m.Told = m.Told || name == "success"
		}
	}
	return m, true
}

// testCase is one of testdata/dovecotpolicy.
type testCase struct {
	About   string
	Command string
	Body    json.RawMessage // as it was sent
	Text    string          // in its place, where it cannot stand in JSON as it is
	Attempt *struct {
		Service, Client, Login, Hash, Mechanism, Session, Outcome string
	}
	Skipped string
}

func (c *testCase) body() string {
	if c.Text != "" {
		return c.Text
	}
	return string(c.Body)
}

func readCases(t testing.TB) []testCase {
	t.Helper()
	files, err := filepath.Glob("../testdata/dovecotpolicy/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	var all []testCase
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct{ Cases []testCase }
		if err := json.Unmarshal(text, &file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, c := range file.Cases {
			c.About = filepath.Base(name) + ": " + c.About
			all = append(all, c)
		}
	}
	return all
}

func TestFuzzBriefly(t *testing.T) { fuzzing.Briefly(t) }
