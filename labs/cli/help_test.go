package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/exercises"
	"github.com/svclab/svclab/manifests"
)

var update = flag.Bool("update", false, "overwrite the golden files in testdata")

// quoted is an argument in double quotes.
var quoted = regexp.MustCompile(`"[^"]*"`)

// verbs are all commands, without those that cobra adds.
func verbs() []*cobra.Command {
	var all []*cobra.Command
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		all = append(all, cmd)
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(newApp().command())
	return all
}

func newApp() *app {
	return &app{console.App{Manifests: manifests.FS(), Exercises: exercises.FS()}}
}

// The golden file shows every verb's help, with its flags. A verb whose flags change is seen there.
func TestHelp(t *testing.T) {
	var got bytes.Buffer
	for _, verb := range verbs() {
		out, err, code := call(t, append(strings.Fields(verb.CommandPath())[1:], "--help")...)
		if code != 0 || err != "" {
			t.Errorf("%s --help: exit code %d, %s", verb.CommandPath(), code, err)
		}
		got.WriteString("==> " + verb.CommandPath() + " --help\n" + out + "\n")
	}
	golden := filepath.Join("testdata", "help.txt")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the help differs from %s; to accept it: go test ./labs/cli -update, then read the difference", golden)
	}
}

func TestEveryVerbHasHelpWithExamplesThatParse(t *testing.T) {
	for _, verb := range verbs() {
		if verb.Short == "" || verb.Long == "" || verb.Example == "" {
			t.Errorf("%s lacks a short text, a long text or examples", verb.CommandPath())
		}
		if parent := verb.Parent(); parent != nil && len(parent.Groups()) > 0 && verb.GroupID == "" {
			t.Errorf("%s is in no group", verb.CommandPath())
		}
		for _, command := range strings.FieldsFunc(verb.Example, func(r rune) bool { return r == '\n' || r == '&' || r == '>' }) {
			command, _, _ = strings.Cut(strings.TrimSpace(command), "   ") // an explanation may follow
			words := strings.Fields(quoted.ReplaceAllString(command, "QUOTED"))
			if len(words) == 0 || words[0] != "svclab" {
				continue
			}
			found, args, err := newApp().command().Find(words[1:])
			if err == nil {
				err = found.ParseFlags(args)
			}
			if err == nil {
				err = found.ValidateArgs(found.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: example %q: %v", verb.CommandPath(), command, err)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	out, err, code := call(t, "--version")
	if code != 0 || err != "" || !strings.HasPrefix(out, "svclab ") || strings.TrimSpace(out) == "svclab" {
		t.Errorf("exit code %d, %q, %q", code, out, err)
	}
}

func TestVerifyDescribeNeedsNoCluster(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
	out, err, code := call(t, "verify", "--describe", "nodeport", "clusterip")
	if code != 0 || err != "" {
		t.Fatalf("exit code %d, %q", code, err)
	}
	for _, want := range []string{"nodeport: A NodePort answers", "\n\nclusterip: ", "nodePort/30080", "1. deploy the app", "expected table", "OUTCOME", "Refused in nftables"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing from\n%s", want, out)
		}
	}
	if _, err, code := call(t, "verify", "--describe", "--list"); code != 2 || !strings.Contains(err, "use one of them") {
		t.Errorf("both: exit code %d, %q", code, err)
	}
}
