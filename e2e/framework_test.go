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
