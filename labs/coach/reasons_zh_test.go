package coach

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/labs/course"
)

// phrases returns the formats of all calls of reach.Say in a package's source.
func phrases(t *testing.T, folder string) (formats []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if fun, is := call.Fun.(*ast.SelectorExpr); !is || fun.Sel.Name != "Say" {
				return true
			} else if x, is := fun.X.(*ast.Ident); !is || x.Name != "reach" {
				return true
			}
			literal, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: the format must be one literal, so that it can be translated", fset.Position(call.Pos()))
				return true
			}
			format, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			formats = append(formats, format)
			return true
		})
	}
	return formats
}

var verb = regexp.MustCompile(`%(?:\[([0-9]+)\])?([a-z])`)

// arguments returns the arguments that a format uses, as "1s", sorted.
func arguments(format string) (used []string) {
	for i, m := range verb.FindAllStringSubmatch(format, -1) {
		number := m[1]
		if number == "" {
			number = strconv.Itoa(i + 1)
		}
		used = append(used, number+m[2])
	}
	slices.Sort(used)
	return used
}

func TestEveryReasonIsThereInChinese(t *testing.T) {
	chinese := reasonsInChinese()
	left := maps.Clone(chinese)
	for _, format := range slices.Concat(phrases(t, "e2e/oracle"), phrases(t, "e2e/world")) {
		delete(left, format)
		switch text, known := chinese[format]; {
		case !known:
			t.Errorf("not translated: %q", format)
		case !slices.Equal(arguments(format), arguments(text)):
			t.Errorf("%q and %q use other arguments", format, text)
		}
	}
	for format := range left {
		t.Errorf("no reason says %q", format)
	}
}

func TestReason(t *testing.T) {
	said := reach.Say("%s: %s, so the packet is rejected", reach.Say("port %d of the ClusterIP of %s", 80, "learn-05/my-service"),
		reach.Say("none of its %s is ready", reach.Say("%d %s", 2, reach.Say("endpoints"))))
	p := reach.Prediction{Rule: "no-endpoints", Reason: said.String(), Said: said}
	for l, want := range map[course.Language]string{
		course.English: "port 80 of the ClusterIP of learn-05/my-service: none of its 2 endpoints is ready, so the packet is rejected",
		course.Chinese: "learn-05/my-service 的 ClusterIP 的端口 80：它的 2 个端点都没有就绪，所以包被拒绝",
	} {
		if got := Reason(l, p); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := Reason(course.Chinese, reach.Prediction{Reason: "why"}); got != "why" {
		t.Error(got)
	}
}
