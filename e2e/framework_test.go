package e2e_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const framework = "sigs.k8s.io/e2e-framework/"

// through lists what each package must do through sigs.k8s.io/e2e-framework: it imports these packages of it.
var through = map[string][]string{
	"e2e/cluster":      {"pkg/envfuncs", "pkg/envconf", "support", "klient/decoder", "klient/k8s/resources"},
	"e2e/cluster/kind": {"support", "klient"},
	"e2e/wait":         {"klient/wait", "klient/wait/conditions", "klient/k8s/resources"},
}

// reserved lists what goes round e2e-framework, or round the package that wraps it: an import path, or one exported name of a
// package. Only the packages named may use it, each for the reason given, and none that does not is named.
var reserved = map[string]map[string]string{
	"sigs.k8s.io/kind/pkg/cluster": {
		"e2e/cluster/kind": "it implements e2e-framework's E2EClusterProvider with kind's library: upstream's provider runs a kind program, or installs one",
	},
	"k8s.io/client-go/tools/remotecommand": {
		"e2e/cluster": "resources.ExecInPod has no stdin and no WebSocket, and the prober is streamed into pods and fed with requests",
	},
	"k8s.io/apimachinery/pkg/util/yaml": {
		"e2e/migrate":  "lists and objects of any kind from a file that kubectl wrote; it does not know most kinds",
		"e2e/cluster":  "it splits documents only: decoder.DecodeEach would drop unknown fields of known kinds",
		"e2e/scenario": "its decoder is strict, and klient/decoder has no strict mode",
	},
	"k8s.io/apimachinery/pkg/runtime/serializer": {
		"e2e/scenario": "its decoder is strict, and klient/decoder has no strict mode",
	},
	"k8s.io/apimachinery/pkg/types.ApplyPatchType": {
		"e2e/cluster": "klient/k8s/resources has no Apply, so its Patch gets a server-side apply",
		"e2e/steps":   "a scenario's objects are applied through the client that a test can replace, and the Resources of klient/k8s/resources cannot be replaced",
	},
	// Waits go through e2e/wait. What follows can be the core of a loop that waits.
	"sigs.k8s.io/e2e-framework/klient/wait": {
		"e2e/wait": "it is the one loop",
	},
	"k8s.io/apimachinery/pkg/util/wait": {
		"e2e/wait": "the type of the conditions of klient/wait/conditions",
	},
	"k8s.io/client-go/dynamic/dynamicinformer": {
		"e2e/wait": "its watches list first and survive the end of a watch, which those of klient/k8s/watcher do not",
	},
	"k8s.io/client-go/tools/cache": {
		"e2e/wait": "the events and errors of its informers",
	},
	"k8s.io/client-go/informers": {},
	"k8s.io/apimachinery/pkg/watch": {
		"e2e/checks": "the check of deletecollection judges the events of one watch",
		"e2e/wait":   "the type of what its informers watch",
	},
	"time.Sleep": {},
	"time.Tick":  {},
	"time.After": {
		"e2e/cluster/docker": "the engine, and no object of Kubernetes, is polled between two commands; the package imports nothing of the project",
		"e2e/cluster/kind":   "it waits for the end of kind's library while it removes what that creates",
		"e2e/grace":          "it bounds a request that outlives its context",
		"e2e/probe/prober":   "the prober is a program that is copied into pods: it has no client of Kubernetes",
	},
	"time.NewTimer": {
		"e2e/wait":         "Sleep",
		"e2e/probe":        "sessions and flows are bounded together with their streams",
		"e2e/probe/prober": "the prober is a program that is copied into pods: it has no client of Kubernetes",
		"labs/cli/learn":   "a burst of changes ends in the event loop of the session",
	},
	"time.NewTicker": {
		"e2e/runner":     "the heartbeat of a step prints while the step waits",
		"labs/cli":       "a log is followed, and a build's progress is printed",
		"labs/cli/learn": "the spinner and the clock of the session",
	},
	"time.AfterFunc": {
		"e2e/probe":        "a session that does not acknowledge a command is ended",
		"e2e/probe/prober": "the prober is a program that is copied into pods: it has no client of Kubernetes",
	},
	"k8s.io/apimachinery/pkg/apis/meta/v1.ApplyOptions": {}, // the dynamic client's Apply: resources.Patch does the same
}

func TestTheFrameworkIsNotBypassed(t *testing.T) {
	imports, users := map[string]map[string]bool{}, map[string]map[string]bool{}
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") ||
			!strings.HasPrefix(name, "e2e/") && !strings.HasPrefix(name, "labs/") {
			return err
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg := path.Dir(name)
		if imports[pkg] == nil {
			imports[pkg] = map[string]bool{}
		}
		used := uses(file)
		maps.Copy(imports[pkg], used)
		for what := range used {
			if by, listed := reserved[what]; listed && by[pkg] == "" {
				t.Errorf("%s uses %s, which only %v may use: see reserved", name, what, slices.Sorted(maps.Keys(by)))
			}
			if users[what] == nil {
				users[what] = map[string]bool{}
			}
			users[what][pkg] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for what, by := range reserved {
		for pkg := range by {
			if !users[what][pkg] {
				t.Errorf("%s does not use %s: remove it from reserved", pkg, what)
			}
		}
	}
	for pkg, parts := range through {
		for _, part := range parts {
			if !imports[pkg][framework+part] {
				t.Errorf("%s does not use %s", pkg, framework+part)
			}
		}
	}
}

// uses returns the import paths of a file, and path.Name for each exported name of them that it mentions.
func uses(file *ast.File) map[string]bool {
	used, paths := map[string]bool{}, map[string]string{}
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value) // the parser has read it
		used[imported] = true
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		paths[name] = imported
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if from, ok := selector.X.(*ast.Ident); ok && paths[from.Name] != "" {
				used[paths[from.Name]+"."+selector.Sel.Name] = true
			}
		}
		return true
	})
	return used
}
