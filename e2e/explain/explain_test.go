package explain

import (
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
)

func examples() []example {
	return slices.Concat(absentExamples(), selectionExamples(), podExamples(), portExamples(), balancerExamples(), policyExamples(), intentExamples(), nodeExamples())
}

func TestEveryExampleGivesItsCauseFirst(t *testing.T) {
	for _, e := range examples() {
		t.Run(strings.TrimSpace(e.id+" "+e.name), func(t *testing.T) {
			f := newFixture()
			e.spoil(f)
			found := f.explain()
			list := found.Causes
			if e.note {
				if len(found.Causes) > 0 {
					t.Errorf("causes where there are none: %+v", found.Causes)
				}
				list = found.Notes
			}
			i := slices.IndexFunc(list, func(c Cause) bool { return c.ID == e.id })
			if i < 0 || i > 0 && !e.note {
				t.Fatalf("%s is at %d in causes %+v, notes %+v", e.id, i, found.Causes, found.Notes)
			}
			c := list[i]
			if !strings.Contains(c.Sentence, e.says) {
				t.Errorf("says %q\nwant  %q", c.Sentence, e.says)
			}
			if !strings.Contains(c.Command, e.try) || c.Command == "" {
				t.Errorf("tries %q\nwant   %q", c.Command, e.try)
			}
			if c.Field == "" || !strings.HasPrefix(c.Doc, "https://") {
				t.Errorf("field %q, document %q", c.Field, c.Doc)
			}
			if strings.Contains(c.Sentence, "{") {
				t.Errorf("something was not filled in: %s", c.Sentence)
			}
		})
	}
}

func TestEveryCauseHasAnExample(t *testing.T) {
	var has []string
	for _, e := range examples() {
		has = append(has, e.id)
	}
	for _, id := range ids() {
		if !slices.Contains(has, id) {
			t.Errorf("no example gives the cause %s", id)
		}
	}
	for _, id := range has {
		if !slices.Contains(ids(), id) {
			t.Errorf("there is no cause %s", id)
		}
	}
	if sorted := slices.Sorted(slices.Values(ids())); len(slices.Compact(sorted)) != len(ids()) {
		t.Error("two rules have one identifier")
	}
}

func TestHealthyServicesHaveNoCause(t *testing.T) {
	for name, change := range healthy() {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			change(f)
			if found := f.explain(); len(found.Causes) > 0 {
				t.Errorf("found %+v", found.Causes)
			}
		})
	}
}

func TestNear(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"web", "wbe", true}, {"web", "Web", true}, {"web", "web-app", true}, {"frontend", "fronted", true}, {"frontend", "frnotedn", true},
		{"web", "api", false}, {"a", "b", true}, {"database", "frontend", false},
		// an empty text is near to nothing, not even to one letter
		{"", "web", false}, {"", "a", false}, {"a", "", false}, {"", "", true},
		// either may contain the other, but from three letters on only
		{"web-app", "web", true}, {"db", "my-db-01", false}, {"my-db-01", "db", false},
		// one edit in four letters is a typo, one more is not; the longer text counts
		{"frontend", "frontned-", true}, {"frontend", "frntdn", false}, {"frontend", "frxtend", true}, {"abcd", "abxy", false}, {"abcdefgh", "abcdefxy", true}, {"abcdefg", "abcdexy", false},
	} {
		if got := near(tc.a, tc.b); got != tc.want {
			t.Errorf("near(%q, %q) is %v", tc.a, tc.b, got)
		}
	}
	if d := distance("my-app", "myapp"); d != 1 {
		t.Errorf("distance %d", d)
	}
}

func TestText(t *testing.T) {
	f := newFixture()
	f.web().Spec.Selector = map[string]string{"app": "wbe"}
	f.empty()
	var b strings.Builder
	if err := Text(&b, f.explain(), 80, reach.Pass); err != nil {
		t.Fatal(err)
	}
	want := `cause: selector-near-miss
  the selector app=wbe matches no pod, but pods a and b are near matches: they
  have app=web, not app=wbe
  change  spec.selector
  try     kubectl -n demo patch service web --type=merge -p '{"spec":{"selector":{"app":"web"}}}'
  see     https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/

worth knowing, by design:
  - its type is ClusterIP: it is for clients in the cluster only, and not
    reachable from outside, by design [cluster-ip-only;
    https://kubernetes.io/docs/concepts/services-networking/service/#type-clusterip]
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	if err := Text(&b, newFixture().explain(), 80, reach.Pass); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), Nothing+"\n") {
		t.Errorf("a healthy Service prints %q", b.String())
	}
	for result, want := range map[reach.Result]string{reach.Skipped: "nothing was probed", reach.Inconclusive: "there is no verdict"} {
		b.Reset()
		if err := Text(&b, newFixture().explain(), 80, result); err != nil {
			t.Fatal(err)
		}
		if first, _, _ := strings.Cut(b.String(), "\n"); !strings.HasSuffix(first, want) {
			t.Errorf("%s prints %q", result, first)
		}
	}
}

// ids returns the identifiers of all causes, in the order of the rules.
func ids() (list []string) {
	for _, r := range rules() {
		list = append(list, r.id)
	}
	return list
}

func TestNothingControlsTheTerminal(t *testing.T) {
	hostile := Cause{ID: "\x1b]0;", Sentence: "\x1b[8m", Field: "\a", Command: "\u009b2J", Doc: "\u202e"}
	var out strings.Builder
	if err := Text(&out, Finding{Causes: []Cause{hostile}, Notes: []Cause{hostile}}, 80, reach.Pass); err != nil || strings.ContainsAny(out.String(), "\x1b\a\u009b\u202e") {
		t.Errorf("%v: %q", err, out.String())
	}
}
