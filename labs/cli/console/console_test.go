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
