package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
)

// stays runs `prober stay` with an input and returns its exit code and output.
func stays(t *testing.T, stdin io.Reader, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, said bytes.Buffer
	code = run(t.Context(), append([]string{"stay"}, args...), stdin, &out, &said)
	return code, out.String(), said.String()
}

func TestStayCarriesOutOneCommandAfterTheOther(t *testing.T) {
	input := `{"args":["ask"],"input":"{\"version\":2,\"cells\":0,\"nonce\":\"n\"}\n"}
{"args":["ask"],"input":"nonsense"}
{"args":["serve"]}
{"args":["ask"],"input":"{\"version\":2,\"cells\":0,\"nonce\":\"n\"}\n"}
`
	// stdin ends before the commands do, which cancels them: so it is held open
	reader, writer := io.Pipe()
	go func() { _, _ = io.WriteString(writer, input) }()
	code, stdout, stderr := stays(t, reader, "--idle", "300ms")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, %s", code, stderr)
	}
	const answered = `{"stayBegun":{}}
{"hello":{"version":2,"nonce":"n"}}
{"done":{"count":0}}
{"stayEnded":{"code":0}}
`
	if !strings.HasPrefix(stdout, answered) || !strings.HasSuffix(stdout, answered) {
		t.Errorf("the first and the last command are not carried out:\n%s", stdout)
	}
	for _, want := range []string{`{"stayEnded":{"code":2,"said":"prober: stdin line 1 is not the head of an ask`, `stay carries out ask and synced only`} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%s is missing:\n%s", want, stdout)
		}
	}
}

func TestStayEndsWithItsClient(t *testing.T) {
	began := time.Now()
	reader, writer := io.Pipe()
	go func() {
		_, _ = io.WriteString(writer, `{"args":["synced","--metrics","http://127.0.0.1:1/","--wait","50s"]}`+"\n")
		time.Sleep(100 * time.Millisecond)
		writer.Close()
	}()
	if code, _, stderr := stays(t, reader); code != 0 || time.Since(began) > 10*time.Second {
		t.Errorf("exit code %d after %s: %s", code, time.Since(began), stderr)
	}
	if code, _, stderr := stays(t, strings.NewReader("{")); code != 2 || !strings.Contains(stderr, "is not a command") {
		t.Errorf("an input that is cut off: exit code %d: %s", code, stderr)
	}
	if code, _, _ := stays(t, strings.NewReader(""), "--idle", "0s"); code != 2 {
		t.Errorf("no time to wait: exit code %d", code)
	}
}
