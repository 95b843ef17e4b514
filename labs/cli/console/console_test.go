package console

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/setup"
)

// What is no terminal gets plain text, and so does a terminal whose environment has no colours or no UTF-8.
func TestPlainTerminal(t *testing.T) {
	if style := (&App{Streams: Streams{Out: new(bytes.Buffer)}}).ReportStyle(false, false); !style.Plain || style.Color {
		t.Errorf("a pipe: %+v", style)
	}
	for name, c := range map[string]struct {
		env  map[string]string
		want bool
	}{
		"nothing is set":       {nil, false},
		"UTF-8":                {map[string]string{"TERM": "xterm-256color", "LANG": "de_DE.UTF-8"}, false},
		"another way to write": {map[string]string{"LC_ALL": "en_US.utf8"}, false},
		"no UTF-8":             {map[string]string{"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, true},
		"C with UTF-8":         {map[string]string{"LC_ALL": "C.UTF-8"}, false},
		"a dumb terminal":      {map[string]string{"TERM": "dumb", "LANG": "C.UTF-8"}, true},
	} {
		for _, variable := range []string{"TERM", "LC_ALL", "LC_CTYPE", "LANG"} {
			t.Setenv(variable, c.env[variable])
		}
		if got := plainEnvironment(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		code    int
		printed string
	}{
		"pass":             {Judged(reach.Pass), 0, ""},
		"fail":             {Judged(reach.Fail), 1, ""},
		"inconclusive":     {Judged(reach.Inconclusive), 2, ""},
		"nothing ran":      {Judged(reach.Skipped), 2, ""},
		"an error":         {errors.New("no engine"), 2, "svclab: error: no engine\n"},
		"a hostile error":  {errors.New("\x1b[2Jpod\x9b1m"), 2, "svclab: error: \ufffd[2Jpod\ufffd1m\n"},
		"a script's error": {&setup.ScriptError{Script: "engine.sh", Code: 1}, 2, ""}, // the script has printed it
	} {
		var printed bytes.Buffer
		a := &App{Streams: Streams{Out: new(bytes.Buffer), Err: &printed}}
		root := &cobra.Command{Use: "svclab", RunE: func(*cobra.Command, []string) error { return c.err }}
		if code := a.Run(context.Background(), root, []string{}); code != c.code || printed.String() != c.printed {
			t.Errorf("%s: exit code %d, printed %q; want %d, %q", name, code, printed.String(), c.code, c.printed)
		}
	}
}
