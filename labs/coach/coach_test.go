package coach

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/labs/course"
)

// exercise is one with the conditions of a YAML list of misconceptions and of variants.
func exercise(t *testing.T, text string) course.Exercise {
	t.Helper()
	var parts struct {
		Misconceptions []course.Misconception
		Variants       []course.Variant
		Questions      []course.Question
	}
	if err := yaml.UnmarshalStrict([]byte(text), &parts); err != nil {
		t.Fatal(err)
	}
	return course.Exercise{Misconceptions: parts.Misconceptions, Variants: parts.Variants, Questions: parts.Questions}
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

func pod(name string, labels map[string]string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod"}}
	o.SetName(name)
	o.SetLabels(labels)
	return o
}

// refused is what a check saw of exercise 04: clients on two nodes probe a Service. Its ClusterIP refuses, its name answers, and
// its node ports do neither.
func refused(t *testing.T) Seen {
	t.Helper()
	cell := func(vantage string, target reach.Target, outcome reach.Outcome, backend string, fields ...string) reach.CellVerdict {
		c := reach.CellVerdict{Result: reach.Fail, Cell: reach.Cell{Vantage: reach.Vantage{Name: vantage, Kind: reach.Pod}, Target: target,
			Observations: []reach.Observation{{Outcome: outcome, Backend: backend}}}}
		for _, field := range fields {
			c.Differences = append(c.Differences, reach.Difference{Field: field})
		}
		return c
	}
	ip := reach.Target{Kind: reach.ClusterIP, Service: "learn-04/my-service", Port: 80, Protocol: reach.TCP}
	name := reach.Target{Kind: reach.DNSName, Service: "learn-04/my-service", Port: 80, Protocol: reach.TCP, Host: "my-service"}
	port := reach.Target{Kind: reach.NodePort, Service: "learn-04/my-service", Port: 30080, Protocol: reach.UDP, Slot: "worker"}
	far := port
	far.Slot = "worker2"
	app := map[string]string{"app": "my-app"}
	ready, ending := pod("a", app), pod("d", app)
	ready.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}
	ending.SetDeletionTimestamp(&metav1.Time{Time: time.Unix(1, 0)}) // it is there, and counts for nothing
	ending.Object["status"] = ready.Object["status"]
	return Seen{
		Verdict: reach.Verdict{Result: reach.Fail, Steps: []reach.Step{
			{Name: "reached", Result: reach.Fail, Tables: []reach.Table{{Cells: []reach.CellVerdict{
				cell("pod/worker", ip, reach.Refused, "", "outcome"), cell("pod/worker2", ip, reach.Refused, "", "outcome"),
				cell("pod/worker", name, reach.Reached, "my-app-1", "missing backend"),
			}}}},
			{Name: "pods replaced", Result: reach.Skipped},
			{Name: "the app runs", Result: reach.Pass, Tables: []reach.Table{{Cells: []reach.CellVerdict{cell("pod/worker", port, reach.Unreachable, ""), cell("pod/worker", far, reach.TimedOut, "")}}}},
		}},
		Objects: []runner.Snapshot{
			{Ref: scenario.Ref{Kind: "service", Name: "my-service"}, Objects: []*unstructured.Unstructured{object(t, `{kind: Service, metadata: {name: my-service}, spec: {type: ClusterIP, ports: [{port: 80, targetPort: 8081}]}}`)}},
			{Ref: scenario.Ref{Kind: "service", Name: "my-app"}},
			{Ref: scenario.Ref{Kind: "pods", Name: "*"}, Objects: []*unstructured.Unstructured{pod("c", nil), ready, pod("b", app), ending}},
		},
	}
}

func TestConditions(t *testing.T) {
	for condition, want := range map[string]bool{
		`object: {ref: service/my-service, path: {"{.spec.ports[0].targetPort}": "8081"}}`: true,
		`object: {ref: service/my-service, path: {"{.spec.ports[0].targetPort}": "8080"}}`: false,
		`object: {ref: service/my-service, unset: spec.selector}`:                          true,
		`object: {ref: service/my-service, absent: true}`:                                  false,
		`object: {ref: service/my-app, absent: true}`:                                      true,
		`object: {ref: service/my-app, want: {kind: Service}}`:                             false,
		`step: {name: reached}`:                                                          true,
		`step: {name: reached, passed: true}`:                                            false,
		`step: {name: pods replaced}`:                                                    false, // it was not tried
		`step: {name: the app runs, passed: true}`:                                       true,
		`step: {name: no such}`:                                                          false,
		`count: {kind: pods, min: 3}`:                                                    true,
		`count: {kind: pods, selector: app=my-app, min: 3}`:                              false,
		`count: {kind: pods, selector: app=my-app, min: 2, max: 2}`:                      true,
		`count: {kind: pods, ready: true, min: 1}`:                                       true,
		`count: {kind: pods, ready: true, min: 2}`:                                       false, // b is not Ready
		`count: {kind: pods, max: 2}`:                                                    false,
		`count: {kind: pods, like: {ref: pod/x, path: {"{.metadata.name}": a}}, max: 1}`: true,
		`cell: {outcome: Refused}`:                                                       true,
		`cell: {outcome: Refused, all: true}`:                                            false,
		`cell: {to: {kind: clusterIP}, outcome: Refused, all: true}`:                     true,
		`cell: {to: {kind: clusterIP}, outcome: Reached}`:                                false,
		`cell: {to: {kind: clusterIP, port: 81}, outcome: Refused}`:                      false,
		`cell: {from: pod/worker, to: {kind: dns}, backend: my-app-}`:                    true,
		`cell: {from: pod/worker2, to: {kind: dns}, backend: my-app-}`:                   false,
		`cell: {to: {service: other}, outcome: Refused}`:                                 false,
		`cell: {step: the app runs, outcome: TimedOut}`:                                  true,
		`cell: {to: {node: own}, outcome: Unreachable}`:                                  true,
		`cell: {to: {node: own}, outcome: TimedOut}`:                                     false,
		`cell: {to: {node: other}, outcome: TimedOut}`:                                   true,
		`cell: {to: {node: other}, outcome: Unreachable}`:                                false,
		`cell: {to: {node: other}, outcome: Refused}`:                                    false, // no single node has a ClusterIP
		`cell: {to: {node: worker2}, outcome: TimedOut}`:                                 true,
		`cell: {to: {node: worker2}, outcome: Unreachable}`:                              false,
		`cell: {to: {protocol: UDP}, outcome: TimedOut}`:                                 true,
		`cell: {to: {protocol: TCP}, outcome: TimedOut}`:                                 false,
		`cell: {to: {port: 30080}, outcome: TimedOut}`:                                   true,
		`cell: {to: {name: my-service}, outcome: Reached}`:                               true,
		`cell: {to: {name: another}, outcome: Reached}`:                                  false,
		`cell: {to: {undeclared: true}, outcome: Refused}`:                               false,
		`cell: {to: {kind: dns}, backend: other-}`:                                       false,
		`count: {kind: pods, like: {ref: pod/x, path: {"{.metadata.name}": b}}, min: 1}`: true,
		`cell: {differs: missing backend}`:                                               true,
		`cell: {differs: source}`:                                                        false,
		`cell: {step: the app runs, outcome: Refused}`:                                   false,
		`any: [{step: {name: no such}}, {step: {name: reached}}]`:                        true,
		`any: [{step: {name: no such}}, {count: {kind: pods, max: 0}}]`:                  false,
		`not: {step: {name: reached}}`:                                                   false,
		`not: {any: [{step: {name: no such}}]}`:                                          true,
	} {
		e := exercise(t, "misconceptions: [{id: m, when: [{"+condition+"}]}]")
		got, err := Diagnose(e, nil, refused(t))
		if err != nil || (got.Misconception == "m") != want {
			t.Errorf("%s: got %+v, %v; want it to hold: %t", condition, got, err, want)
		}
	}
}

func TestTheFirstMisconceptionThatFits(t *testing.T) {
	e := exercise(t, `
misconceptions:
  - {id: only-predicted}
  - {id: another-state, when: [{step: {name: reached}}, {count: {kind: pods, max: 0}}]}
  - {id: first, when: [{step: {name: reached}}]}
  - {id: second, when: [{step: {name: reached}}]}
questions: [{id: q, options: [a, b], right: a, wrong: {b: only-predicted}}]
`)
	for _, tc := range []struct {
		name    string
		answers map[string]string
		result  reach.Result
		want    Diagnosis
		passed  bool
	}{
		{"of those whose conditions all hold", map[string]string{"q": "a"}, reach.Fail, Diagnosis{Misconception: "first"}, false},
		{"a wrong prediction goes before", map[string]string{"q": "b"}, reach.Fail, Diagnosis{Misconception: "only-predicted", Question: "q"}, false},
		{"a wrong prediction though the goal is met", map[string]string{"q": "b"}, reach.Pass, Diagnosis{Misconception: "only-predicted", Question: "q"}, false},
		{"none when all is right", map[string]string{"q": "a"}, reach.Pass, Diagnosis{}, true},
		{"none when nothing was predicted", nil, reach.Pass, Diagnosis{}, false},
	} {
		seen := refused(t)
		seen.Verdict.Result = tc.result
		got, err := Diagnose(e, tc.answers, seen)
		if err != nil || got != tc.want {
			t.Errorf("%s: got %+v, %v", tc.name, got, err)
		}
		if passed := Passed(e, tc.answers, seen); passed != tc.passed {
			t.Errorf("%s: passed: %t", tc.name, passed)
		}
	}
}

// Two faults at once: both are told, if the second one's conditions suffice.
func TestDiagnoseTwo(t *testing.T) {
	e := exercise(t, `
misconceptions:
  - {id: first, when: [{step: {name: reached}}]}
  - {id: follows, when: [{step: {name: reached}}]}
  - {id: absent, independent: true, when: [{count: {kind: pods, max: 0}}]}
  - {id: second, independent: true, when: [{step: {name: reached}}]}
  - {id: third, independent: true, when: [{step: {name: reached}}]}
`)
	got, err := Diagnose(e, nil, refused(t))
	if want := (Diagnosis{Misconception: "first", Also: "second"}); err != nil || got != want || !slices.Equal(got.All(), []string{"first", "second"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if none := (Diagnosis{}).All(); len(none) > 0 {
		t.Errorf("none is %q", none)
	}
}

// The state shows no misconception of a learner who has done nothing; a prediction does.
func TestDiagnoseUntouched(t *testing.T) {
	e := exercise(t, `
misconceptions:
  - {id: state, when: [{step: {name: reached}}]}
  - {id: predicted}
questions: [{id: q, options: [a, b], right: a, wrong: {b: predicted}}]
`)
	seen := refused(t)
	seen.Untouched = true
	for answer, want := range map[string]string{"a": "", "b": "predicted"} {
		if got, err := Diagnose(e, map[string]string{"q": answer}, seen); err != nil || got.Misconception != want {
			t.Errorf("answer %s: %+v, %v", answer, got, err)
		}
	}
}

func TestConditionsThatCannotBeRead(t *testing.T) {
	e := exercise(t, `misconceptions: [{id: m, when: [{count: {kind: pods, selector: "a in (", min: 1}}]}]`)
	if _, err := Diagnose(e, nil, refused(t)); err == nil || !strings.Contains(err.Error(), "misconception m") || !strings.Contains(err.Error(), "a in (") {
		t.Errorf("got %v", err)
	}
}

func TestHintVariants(t *testing.T) {
	e := exercise(t, `
variants:
  - {hint: 1, id: no-pods, when: [{count: {kind: pods, max: 0}}]}
  - {hint: 1, id: pods, when: [{count: {kind: pods, min: 1}}]}
  - {hint: 1, id: later, when: [{count: {kind: pods, min: 1}}]}
  - {hint: 2, id: no-pods, when: [{count: {kind: pods, max: 0}}]}
  - {hint: 4, id: pods, when: [{count: {kind: pods, min: 1}}]}
`)
	for n, want := range map[int]string{1: "hint/1/pods", 2: "hint/2", 3: "hint/3", 4: "hint/4/pods"} {
		if got, err := Hint(e, n, refused(t)); err != nil || got != want {
			t.Errorf("hint %d: %s, %v; want %s", n, got, err, want)
		}
	}
}

func TestRefs(t *testing.T) {
	e := exercise(t, `
misconceptions:
  - {id: m, when: [{not: {object: {ref: service/my-service, absent: true}}}, {any: [{count: {kind: pods, min: 1}}, {object: {ref: service/my-service, unset: spec.selector}}]}]}
variants: [{hint: 1, id: v, when: [{object: {ref: other/configmap/c, absent: true}}]}]
`)
	var got []string
	for _, ref := range Refs(e) {
		got = append(got, ref.String())
	}
	if want := []string{"other/configmap/c", "service/my-service", "pods/*"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSame(t *testing.T) {
	a, b := refused(t).Verdict, refused(t).Verdict
	if !Same(a, b) {
		t.Error("the same is not the same")
	}
	b.Steps[0].Tables[0].Cells[0].Cell.Observations[0].Outcome = reach.TimedOut
	if Same(a, b) {
		t.Error("another outcome is the same")
	}
	for name, change := range map[string]func(*reach.Step, *reach.CellVerdict){
		"reason":           func(s *reach.Step, _ *reach.CellVerdict) { s.Why = "pods do not end" },
		"step":             func(s *reach.Step, _ *reach.CellVerdict) { s.Name = "another" },
		"result":           func(s *reach.Step, _ *reach.CellVerdict) { s.Result = reach.Inconclusive },
		"result of a cell": func(_ *reach.Step, c *reach.CellVerdict) { c.Result = reach.Pass },
		"vantage":          func(_ *reach.Step, c *reach.CellVerdict) { c.Cell.Vantage.Name = "host" },
		"target":           func(_ *reach.Step, c *reach.CellVerdict) { c.Cell.Target.Port = 81 },
	} {
		b = refused(t).Verdict
		change(&b.Steps[0], &b.Steps[0].Tables[0].Cells[0])
		if Same(a, b) {
			t.Errorf("another %s is the same", name)
		}
	}
}

func TestJoin(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"", "b", "b"},
		{"a", "", "a"},
		{"a", "b", "a b"},
		{"一个", "端点", "一个端点"},
		{"端点", "pod", "端点 pod"},
		{"pod", "端点", "pod 端点"},
		{"就绪。", "pod", "就绪。pod"}, // wide punctuation
		{"and so on…", "pod", "and so on… pod"},
		{"café", "über", "café über"}, // neither ASCII nor wide
		{"pod,", "端点", "pod, 端点"},
		{"café", "端点", "café端点"}, // one of the two is wide
		{"端点", "über", "端点über"},
	} {
		if got := join(c.a, c.b); got != c.want {
			t.Errorf("join(%q, %q) = %q, want %q", c.a, c.b, got, c.want)
		}
	}
}

func TestRendererKeepsTheWidth(t *testing.T) {
	for _, l := range course.Languages() {
		for _, columns := range []int{60, 80} {
			var out strings.Builder
			p := Renderer{W: &out, Language: l, Style: report.Style{Width: columns, Plain: true}}
			p.Markdown("**Endpoints** do not mean that `it works`, and a line of the text's own\nis joined to the next; 有 endpoint 不等于能用。所谓 endpoint，只是一个已就绪、标签对得上的\nPod，再加上 Service 给出的端口号。\n\n- a list whose items are long enough to be broken, and hang; 没有谁检查过那个端口上是否真有程序在监听\n- short")
			p.Say(Resumed)
			p.Field("Why:", strings.Repeat("because 因为 ", 20))
			if err := p.Done(); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out.String()) {
				if width := report.Width(strings.TrimRight(line, "\n")); width > columns {
					t.Errorf("%d columns: %d: %s", columns, width, line)
				}
			}
			if text := out.String(); strings.Contains(text, "**") || !strings.Contains(text, "`it works`") || !strings.Contains(text, "\n  ") {
				t.Errorf("got\n%s", text)
			}
		}
	}
}

func TestRendererPaintsOnTerminalsOnly(t *testing.T) {
	for _, tc := range []struct {
		style report.Style
		want  string
	}{
		{report.Style{Color: true}, "\x1b[1mbold\x1b[0m and \x1b[36mcode\x1b[0m\n"},
		{report.Style{Color: true, Plain: true}, "bold and `code`\n"},
		{report.Style{}, "bold and `code`\n"},
	} {
		var out strings.Builder
		p := Renderer{W: &out, Style: tc.style}
		p.Markdown("**bold** and `code`")
		if out.String() != tc.want {
			t.Errorf("%+v: got %q", tc.style, out.String())
		}
	}
}

func TestRendererIndents(t *testing.T) {
	for text, want := range map[string]string{
		"- one two three four five six\nseven":  "- one two three four\n  five six seven\n",
		"one two three four **five six** seven": "one two three four\nfive six seven\n",
		"a * b":                                 "a * b\n",
		"ends in *":                             "ends in *\n",
		"**a** and `b ** c`":                    "a and `b ** c`\n",
	} {
		var out strings.Builder
		p := Renderer{W: &out, Style: report.Style{Width: 22, Plain: true}}
		p.Markdown(text)
		if out.String() != want {
			t.Errorf("%q: got %q, want %q", text, out.String(), want)
		}
	}
	var out strings.Builder
	p := Renderer{W: &out, Style: report.Style{Width: 30, Plain: true}}
	p.Field("Why:", "one two three four five six seven eight nine ten")
	if want := "Why: one two three four five\n     six seven eight nine ten\n"; out.String() != want {
		t.Errorf("field: got %q, want %q", out.String(), want)
	}
	out.Reset()
	p = Renderer{W: &out, Style: report.Style{Width: 22, Color: true}}
	p.para(0, 0, plain, "one two three four **five six** seven")
	if want := "one two three four\n\x1b[1mfive six\x1b[0m seven\n"; out.String() != want {
		t.Errorf("bold after a break: got %q, want %q", out.String(), want)
	}
}

func TestRendererNeverBreaksCode(t *testing.T) {
	var out strings.Builder
	command := "$ kubectl patch service my-service --patch '" + strings.Repeat("x", 100) + "'"
	p := Renderer{W: &out, Style: report.Style{Width: 60, Plain: true}}
	p.Markdown("Do:\n```console example\n" + command + "\n```\n")
	if want := "Do:\n    " + command + "\n"; !strings.HasPrefix(out.String(), want) {
		t.Errorf("got %q", out.String())
	}
}
