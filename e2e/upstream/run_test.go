package upstream

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/svclab/svclab/e2e/reach"
)

// output is written to by several goroutines.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// settings are for a ginkgo that is a shell script.
func settings(t *testing.T, ginkgo string) (Settings, *output) {
	t.Helper()
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("ginkgo is played by a shell script")
	}
	folder := t.TempDir()
	program := filepath.Join(folder, "ginkgo")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nfolder="+folder+"\n"+ginkgo+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	log := &output{}
	return Settings{Programs: Programs{Version: "v1.37.2", Test: "/e2e.test", Ginkgo: program, Kubectl: "/kubectl"}, Kubeconfig: "/kc", Context: "kind-x",
		Client: fake.NewClientset(), Output: filepath.Join(folder, "out"), Processes: 3, Timeout: time.Minute, Log: log}, log
}

const onePassed = `cat >$folder/out/ginkgo.json <<'END'
[{"SpecReports":[{"ContainerHierarchyTexts":["[sig-network] Services"],"LeafNodeType":"It","LeafNodeText":"a [Conformance]","State":"passed","RunTime":1000000000}]}]
END
`

func TestRun(t *testing.T) {
	specs := named("[sig-network] Services a [Conformance]")
	s, _ := settings(t, `echo "$@" >$folder/args; echo "$HOME $KUBECONFIG" >$folder/env; `+onePassed)
	got, err := Run(context.Background(), s, specs)
	if err != nil {
		t.Fatal(err)
	}
	if got.Result() != reach.Pass || got.Version != "v1.37.2" || got.Processes != 3 || got.Elapsed == 0 {
		t.Errorf("got %+v", got)
	}
	args, err := os.ReadFile(filepath.Join(filepath.Dir(s.Ginkgo), "args"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"run --procs=3", `--focus=(\[sig-network\] Services a \[Conformance\])$`, "--json-report=ginkgo.json", "/e2e.test -- ",
		"--kubeconfig=/kc --context=kind-x --kubectl-path=/kubectl", "--progress-report-url=http://127.0.0.1:"} {
		if !strings.Contains(string(args), want) {
			t.Errorf("%q is missing from %s", want, args)
		}
	}
	env, err := os.ReadFile(filepath.Join(filepath.Dir(s.Ginkgo), "env"))
	if err != nil {
		t.Fatal(err)
	}
	if home, kubeconfig, _ := strings.Cut(strings.TrimSpace(string(env)), " "); home == os.Getenv("HOME") || kubeconfig != "/kc" {
		t.Errorf("the specs ran with the user's own settings: %s", env)
	}
}

func TestRunTellsWhatWentWrong(t *testing.T) {
	specs := named("[sig-network] Services a [Conformance]")
	for name, tc := range map[string]struct{ script, want string }{
		"no report":                  {"echo crashed; exit 2", "left no report"},
		"all passed, yet it failed":  {onePassed + "exit 1", "exit status 1"},
		"a report of an earlier run": {"exit 0", "left no report"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := settings(t, tc.script)
			if err := os.MkdirAll(s.Output, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(s.Output, reportFile), []byte("[]"), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := Run(context.Background(), s, specs); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	t.Run("a spec failed", func(t *testing.T) {
		s, _ := settings(t, strings.Replace(onePassed, `"passed"`, `"failed"`, 1)+"exit 1")
		got, err := Run(context.Background(), s, specs)
		if err != nil || got.Result() != reach.Fail {
			t.Errorf("got %s, %v; want Fail and no error", got.Result(), err)
		}
	})
}

func namespace(name string, made bool) *corev1.Namespace {
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if made {
		n.Labels = map[string]string{runLabel: "1234"}
	}
	return n
}

func TestInterruptedRunClearsUp(t *testing.T) {
	s, log := settings(t, `trap 'echo stopped >$folder/stopped; exit 1' INT; echo ready >$folder/ready; while :; do sleep 0.05; done`)
	client := fake.NewClientset(namespace("earlier-1", true), namespace("theirs", false))
	s.Client = client
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(s.Ginkgo), "ready")); err == nil {
				break
			}
		}
		if err := client.Tracker().Add(namespace("services-7", true)); err != nil {
			t.Error(err)
		}
		cancel()
	}()
	if _, err := Run(ctx, s, named("a")); err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("got %v, want that it was cancelled\n%s", err, log)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(s.Ginkgo), "stopped")); err != nil {
		t.Error("ginkgo was not interrupted, so the specs did not clear up")
	}
	left, err := client.CoreV1().Namespaces().List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range left.Items {
		names = append(names, n.Name)
	}
	if got := strings.Join(names, " "); got != "earlier-1 theirs" {
		t.Errorf("the namespaces %q are left, want only those that were there before", got)
	}
}
