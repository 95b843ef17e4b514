// Package e2e_test keeps the layers apart: which of the project's packages may import which.
package e2e_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/svclab/svclab/"

// below lists, for each package, the packages of the project it may import. A package that is not here may not exist: say
// where it stands before adding it.
var below = map[string][]string{
	"scripts/oci-runtime":     {},
	"manifests":               {},
	"e2e/reach":               {},
	"e2e/grace":               {},
	"e2e/tether":              {},
	"e2e/flock":               {},
	"e2e/world":               {"e2e/reach"},
	"e2e/oracle":              {"e2e/reach", "e2e/world"},
	"e2e/migrate":             {"e2e/reach", "e2e/world", "e2e/oracle", "e2e/report"},
	"e2e/oracle/differential": {"e2e/reach", "e2e/world", "e2e/oracle", "e2e/releases", "manifests", "e2e/migrate"},
	"e2e/wait":                {"e2e/world"},
	"e2e/probe/wire":          {"e2e/reach"},
	"e2e/probe/prober":        {"e2e/reach", "e2e/probe/wire"},
	"e2e/probe":               {"e2e/tether", "e2e/reach", "e2e/probe/wire"},
	"e2e/observe":             {"e2e/reach", "e2e/world", "e2e/probe", "e2e/wait"},
	"e2e/scenario":            {"e2e/reach"},
	"e2e/releases":            {"e2e/reach", "e2e/world", "e2e/scenario"},
	"e2e/steps":               {"e2e/tether", "e2e/grace", "e2e/checks", "e2e/observe", "e2e/probe", "e2e/reach", "e2e/scenario", "e2e/table", "e2e/wait", "e2e/world"},
	"e2e/cluster/docker":      {"e2e/tether"},
	"e2e/cluster/kind":        {"e2e/world", "e2e/wait", "e2e/cluster/docker"},
	"e2e/cluster":             {"e2e/flock", "e2e/grace", "e2e/reach", "e2e/world", "e2e/probe", "e2e/scenario", "e2e/wait", "e2e/cluster/docker", "e2e/cluster/kind"},
	"e2e/report":              {"e2e/reach"},
	"e2e/table":               {"e2e/reach", "e2e/world", "e2e/scenario"},
	"e2e/checks":              {"e2e/observe", "e2e/wait", "e2e/grace", "e2e/reach", "e2e/world", "e2e/oracle", "e2e/probe", "e2e/probe/wire", "e2e/scenario", "e2e/table"},
	"e2e/dryrun":              {"e2e/reach", "e2e/world", "e2e/scenario", "e2e/steps", "e2e/table"},
	"e2e/runner":              {"e2e/grace", "e2e/observe", "e2e/oracle", "e2e/probe", "e2e/reach", "e2e/scenario", "e2e/steps", "e2e/wait"},
	"e2e/explain":             {"e2e/reach", "e2e/report", "e2e/world"},
	"e2e/explain/collect":     {"e2e/reach", "e2e/world", "e2e/oracle", "e2e/probe", "e2e/observe", "e2e/explain"},
	"e2e/trace":               {"e2e/reach", "e2e/world", "e2e/oracle", "e2e/probe", "e2e/probe/wire"},
	"e2e/upstream":            {"e2e/tether", "e2e/reach", "e2e/report", "e2e/scenario", "e2e/wait"},
	"e2e/lab":                 {"e2e/scenario", "e2e/table", "e2e/reach", "e2e/world", "e2e/oracle", "e2e/probe", "e2e/cluster", "e2e/report", "e2e/runner", "e2e/steps", "e2e/trace"},
	"e2e/setup":               {"e2e/releases", "e2e/tether", "e2e/upstream", "e2e/probe", "e2e/cluster", "e2e/cluster/docker"},
	"e2e/mutants":             {"e2e/wait", "e2e/observe", "e2e/reach", "e2e/report", "e2e/world", "e2e/runner", "e2e/scenario", "e2e/steps"},
	"e2e/fuzz":                {"e2e/mutants", "e2e/grace", "e2e/migrate", "e2e/reach", "e2e/world", "e2e/oracle", "e2e/probe", "e2e/observe", "e2e/report", "e2e/runner", "e2e/wait"},
	"e2e/conformance":         {"e2e/grace", "e2e/wait", "e2e/checks", "e2e/observe", "e2e/reach", "e2e/world", "e2e/probe", "e2e/cluster", "e2e/report", "e2e/runner", "e2e/scenario", "e2e/steps"},
	"e2e/suites":              {"e2e/lab", "e2e/reach", "e2e/cluster", "e2e/report", "e2e/runner", "e2e/scenario", "e2e/setup"},
	"labs/exercises":          {},
	"labs/progress":           {"e2e/flock", "e2e/reach", "e2e/report"},
	"labs/class":              {"labs/progress"},
	"labs/course":             {"e2e/reach", "e2e/scenario", "e2e/steps"},
	"labs/coach":              {"e2e/reach", "e2e/report", "e2e/scenario", "e2e/steps", "e2e/runner", "labs/course"},
	"labs/lesson":             {"e2e/wait", "e2e/reach", "e2e/scenario", "e2e/steps", "e2e/runner", "labs/course", "labs/coach", "labs/progress"},
	"labs/proof":              {"e2e/trace", "e2e/reach", "e2e/scenario", "e2e/runner", "labs/course", "labs/coach", "labs/lesson"},
	"labs/grade":              {"e2e/reach", "e2e/runner", "e2e/scenario", "labs/coach", "labs/course", "labs/lesson"},
	"labs/drill":              {"e2e/mutants", "e2e/reach", "e2e/scenario", "e2e/steps", "labs/course", "labs/lesson"},
	"labs/page":               {"e2e/wait", "e2e/reach", "e2e/world", "e2e/oracle", "e2e/probe", "e2e/observe", "e2e/report", "e2e/trace"},
	"labs/cli/console":        {"e2e/reach", "e2e/report", "e2e/cluster", "e2e/setup"},
	"labs/cli/learn":          {"labs/class", "labs/grade", "labs/page", "e2e/trace", "e2e/fuzz", "e2e/mutants", "e2e/probe", "e2e/world", "labs/drill", "e2e/wait", "e2e/checks", "e2e/lab", "labs/cli/console", "labs/course", "labs/coach", "labs/lesson", "labs/progress", "labs/proof", "e2e/reach", "e2e/cluster", "e2e/report", "e2e/runner", "e2e/scenario", "e2e/steps", "e2e/setup"},
	"labs/cli":                {"e2e/releases", "labs/coach", "labs/page", "labs/lesson", "e2e/tether", "e2e/checks", "e2e/lab", "labs/cli/console", "labs/cli/learn", "e2e/upstream", "e2e/conformance", "e2e/reach", "e2e/cluster", "e2e/report", "e2e/runner", "e2e/scenario", "e2e/steps", "e2e/setup", "e2e/mutants", "e2e/probe", "e2e/fuzz", "e2e/explain", "e2e/explain/collect", "e2e/migrate", "e2e/oracle", "e2e/trace", "e2e/world"},
	"labs/cmd/svclab":         {"labs/cli", "labs/cli/console", "labs/exercises", "manifests"},
}

func TestImportsPointOneWay(t *testing.T) {
	root := os.DirFS("..")
	found := map[string]bool{}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != "." {
			_, err := fs.Stat(root, path.Join(name, "go.mod")) // a module of its own
			if err == nil || strings.HasPrefix(entry.Name(), "_") || strings.HasPrefix(entry.Name(), ".") {
				return fs.SkipDir
			}
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		pkg := path.Dir(name)
		found[pkg] = true
		allowed, known := below[pkg]
		if !known {
			t.Errorf("%s: package %s has no place in the layers", name, pkg)
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			if inside, ok := strings.CutPrefix(imported, module); ok && !slices.Contains(allowed, inside) {
				t.Errorf("%s imports %s, which is not below %s", name, inside, pkg)
			}
			// Ginkgo's label filters are values, and register no flag.
			filters := pkg == "labs/cli" && imported == "github.com/onsi/ginkgo/v2/types"
			if imported == "testing" || strings.HasPrefix(imported, "github.com/onsi/") && !filters {
				t.Errorf("%s imports %s, which only tests do", name, imported)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !found["e2e/reach"] || !found["labs/cli"] {
		t.Fatalf("the walk found only %v", found)
	}
}
