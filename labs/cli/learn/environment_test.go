package learn

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/progress"
	"github.com/svclab/svclab/manifests"
)

func TestLearnClusterTrouble(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(d *session, r *fakeEnvironment)
		verb    func(d *session, ctx context.Context) error
		want    []string
	}{
		{"it is not there", func(d *session, _ *fakeEnvironment) {
			d.find = func(context.Context) (*environment, error) {
				return nil, d.repair(coach.ClusterGone, errors.New("there is no cluster lab"))
			}
		}, (*session).check, []string{"cluster does not exist", "svclab up", "progress is kept"}},
		{"it is half up", func(_ *session, r *fakeEnvironment) { r.down = errors.New("connection refused") }, (*session).check,
			[]string{"does not work: connection refused", "svclab up"}},
		{"the namespace is gone", func(_ *session, r *fakeEnvironment) { r.missing = "learn-04" }, (*session).check,
			[]string{"namespace learn-04 is missing", "svclab learn reset"}},
		{"CoreDNS is gone", func(_ *session, r *fakeEnvironment) { r.broken = []string{"kube-system deployment coredns"} }, (*session).check,
			[]string{"lacks objects that every exercise needs: kube-system deployment coredns", "svclab learn reset"}},
		{"it cannot hold the exercise", func(_ *session, r *fakeEnvironment) { r.lacks = "needs outside: there is none" },
			func(d *session, ctx context.Context) error { return d.start(ctx, "01") }, []string{"exercise 01 cannot run on this cluster: needs outside", "svclab learn next"}},
		{"a prediction is missing", func(d *session, _ *fakeEnvironment) { d.progress.Current = "07" }, (*session).check,
			[]string{"the question number is not answered", "--answer number=refused|no-endpoints|reached"}},
	} {
		stateOf(t, progress.Progress{})
		d, r, out := testSession(t, strings.NewReader(""), flags{lang: "en"})
		d.progress.Current = "04"
		tc.prepare(d, r)
		err := tc.verb(d, t.Context())
		if err == nil {
			t.Errorf("%s: no error; it printed %s", tc.name, out)
			continue
		}
		wants(t, err.Error(), tc.want...)
		if r.checks+r.begins != 0 {
			t.Errorf("%s: %d checks, begun %d times", tc.name, r.checks, r.begins)
		}
	}
}

// An exercise that the cluster cannot run does not keep a learner from those after it; who asks for it is told how to do it.
func TestLearnLeavesOutWhatTheClusterCannotRun(t *testing.T) {
	both := func(t *testing.T, p progress.Progress, l string) (*session, *fakeEnvironment, *syncBuffer) {
		stateOf(t, p)
		s, r, out := testSession(t, strings.NewReader(""), flags{lang: l})
		s.source = realSource()
		s.given = " --family=ipv4 --name=lab"
		r.single = true
		return s, r, out
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	passed := progress.Progress{Current: "37", Exercises: map[string]progress.Exercise{"37": {Passed: at}}}
	how := "export SVCLAB_FAMILY=dual && svclab up --name=lab && svclab learn start 38 --name=lab"
	for name, verb := range map[string]func(*session, context.Context) error{"next": (*session).next, "learn": (*session).resume} {
		s, r, out := both(t, passed, "en")
		r.missing = "learn-39"
		if err := verb(s, t.Context()); err != nil || r.begins != 1 || s.progress.Current != "39" {
			t.Errorf("%s: at %s, begun %d times: %v", name, s.progress.Current, r.begins, err)
		}
		wants(t, out.String(), "Left out: exercise 38 cannot run on this cluster", "IPv4 and IPv6", how, "Exercise 39")
	}
	s, r, _ := both(t, passed, "zh")
	err := s.start(t.Context(), "38")
	if err == nil || r.begins != 0 {
		t.Fatalf("38 was started: %v", err)
	}
	wants(t, err.Error(), "做不了练习 38", "双栈集群", how, "svclab learn next --family=ipv4")
	lacks(t, err.Error(), "dualStack")

	all := progress.Progress{Current: "44", Exercises: map[string]progress.Exercise{}}
	names, err := s.source.Names()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if id := course.IDOf(name); id != "38" {
			all.Exercises[id] = progress.Exercise{Passed: at}
		}
	}
	s, r, out := both(t, all, "en")
	if err := s.resume(t.Context()); err != nil || r.begins != 0 {
		t.Errorf("when only that is left: begun %d times: %v", r.begins, err)
	}
	wants(t, out.String(), "Left out: exercise 38", "43 of 44 passed")
	lacks(t, out.String(), "You have passed all")
}

func TestLearnStart(t *testing.T) {
	stateOf(t, progress.Progress{})
	t.Setenv("PATH", t.TempDir()) // no kubectl
	d, r, out := testSession(t, strings.NewReader(""), flags{lang: "en"})
	r.begun = []string{"learn-01", "prove-04-bcdfg", "svclab-x"}
	r.missing = "learn-04"
	if err := d.start(t.Context(), "4"); err != nil {
		t.Fatal(err)
	}
	wants(t, out.String(), "Exercise 04 (fix)", "There is no kubectl on your PATH", "docker cp lab:/usr/bin/kubectl .", "\n    $ export KUBECONFIG="+d.kubeconfigFile()+"\n", "svclab learn check")
	if !slices.EqualFunc(r.left, [][]string{{"learn-01"}}, slices.Equal) {
		t.Errorf("removed: %v; those of a proof and of others stay", r.left)
	}
	if config, err := os.ReadFile(d.kubeconfigFile()); err != nil || !strings.Contains(string(config), "namespace: learn-04") {
		t.Errorf("kubectl goes elsewhere: %v, %s", err, config)
	}
	if _, err := os.Stat(filepath.Join(d.workFolder(course.Exercise{Name: fix}), "service.yaml")); err != nil {
		t.Error(err)
	}
	if d.progress.Current != "04" || d.progress.Exercises["04"].Started.IsZero() || r.begins != 1 {
		t.Errorf("%+v", d.progress)
	}
	if err := d.start(t.Context(), ""); err != nil || r.begins != 1 {
		t.Errorf("it was begun %d times, %v", r.begins, err)
	}
	wants(t, out.String(), "everything is as you left it")
	r.begun = []string{"learn-04", "prove-04-bcdfg"}
	if err := d.stop(t.Context()); err != nil || !slices.Equal(r.left[len(r.left)-1], []string{"learn-04"}) || d.progress.Current != "04" {
		t.Errorf("stop: removed %v, %+v, %v", r.left, d.progress, err)
	}
	wants(t, out.String(), "gone from the cluster")
	if err := d.reset(t.Context()); err != nil || r.begins != 2 || d.progress.Exercises["04"].Resets != 1 {
		t.Errorf("begun %d times, %+v, %v", r.begins, d.progress, err)
	}
}

func TestLearnCheck(t *testing.T) {
	folder := stateOf(t, midway())
	t.Setenv("KUBECONFIG", "")
	d, r, out := testSession(t, strings.NewReader(""), flags{lang: "en"})
	printed := ""
	for _, tc := range []struct {
		what string
		seen coach.Seen
		lost []string
		want reach.Result
	}{
		{"could not be judged", seen(reach.Inconclusive, "no prober"), nil, reach.Inconclusive},
		{"not yet", coach.Seen{Verdict: reach.Verdict{Result: reach.Fail, Steps: []reach.Step{judged(reach.Fail, reach.Refused)}}}, nil, reach.Fail},
		{"the same again, and a Deployment is gone", coach.Seen{Verdict: reach.Verdict{Result: reach.Fail, Steps: []reach.Step{judged(reach.Fail, reach.Refused)}}},
			[]string{"deployment my-app"}, reach.Fail},
		{"passed", coach.Seen{Verdict: reach.Verdict{Result: reach.Pass, Steps: []reach.Step{judged(reach.Pass, reach.Reached)}}}, nil, reach.Pass},
	} {
		r.check, r.lost = sees(tc.seen), tc.lost
		before := len(out.String())
		var verdict console.VerdictError
		if err := d.check(t.Context()); tc.want == reach.Pass && err != nil || tc.want != reach.Pass && (!errors.As(err, &verdict) || verdict.Result != tc.want) {
			t.Errorf("%s: got %v", tc.what, err)
		}
		printed += "==> " + tc.what + "\n" + out.String()[before:] + "\n"
	}
	golden(t, "check.txt", strings.ReplaceAll(printed, d.folder, "FOLDER"))
	if now := kept(t, folder); !now.Done("04") || now.Exercises["04"].Checks != 7 {
		t.Errorf("%+v", now)
	}
}

// The first check on an untouched exercise names no misconception and does not say that nothing has changed: that was not asked for.
// Why something is so is said after a hint. A check after no change says that there was none; one after a change that makes no
// difference to the traffic does not.
func TestLearnCheckTellsNothingTooEarly(t *testing.T) {
	folder := stateOf(t, progress.Progress{})
	d, r, out := testSession(t, strings.NewReader(""), flags{lang: "en"})
	r.missing, r.hand = "learn-04", "start"
	see := func(hand string) {
		s := coach.Seen{Hand: hand, Verdict: reach.Verdict{Result: reach.Fail, Steps: []reach.Step{judged(reach.Fail, reach.Refused)}}}
		e, err := d.load(fix, course.Sample())
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range coach.Refs(e) { // as many pods as show the misconception
			var objects []*unstructured.Unstructured
			switch ref.Kind {
			case "pods":
				objects = []*unstructured.Unstructured{readyPod(), readyPod(), readyPod()}
			case "service":
				objects = []*unstructured.Unstructured{service(8081)}
			}
			s.Objects = append(s.Objects, runner.Snapshot{Ref: ref, Objects: objects})
		}
		r.check = sees(s)
	}
	see("start")
	if err := d.start(t.Context(), "04"); err != nil {
		t.Fatal(err)
	}
	idle, why := coach.Say(course.English, coach.SameAsEver), "Why: no program"
	for _, tc := range []struct {
		name, hand  string
		hint        bool
		idle, named bool
	}{
		{name: "untouched", hand: "start"},
		{name: "untouched, again", hand: "start", idle: true},
		{name: "a change without effect", hand: "other", named: true},
		{name: "none since", hand: "other", hint: true, idle: true, named: true},
	} {
		see(tc.hand)
		if tc.hint {
			if err := d.change("04", func(x *progress.Exercise) { x.Hints = 1 }); err != nil {
				t.Fatal(err)
			}
		}
		before := len(out.String())
		if err := d.check(t.Context()); console.NotVerdict(err) != nil {
			t.Fatal(err)
		}
		text := out.String()[before:]
		if strings.Contains(text, idle) != tc.idle || strings.Contains(text, why) != tc.hint {
			t.Errorf("%s: it prints\n%s", tc.name, text)
		}
		if named := len(kept(t, folder).Exercises["04"].Misconceptions) > 0; named != tc.named {
			t.Errorf("%s: a misconception is named: %t", tc.name, named)
		}
	}
}

// readyPod is a pod of my-app.
func readyPod() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"kind": "Pod", "metadata": map[string]any{"labels": map[string]any{"app": "my-app"}},
		"status": map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}}}
}

// An explanation in the namespace of the exercise under way is counted as a hint; another is not.
func TestLearnCountsExplanations(t *testing.T) {
	folder := stateOf(t, progress.Progress{Current: "04"})
	out := &syncBuffer{}
	a := &console.App{Streams: console.Streams{In: strings.NewReader(""), Out: io.Discard, Err: out}, Manifests: manifests.FS(), Exercises: smallCourse(t)}
	for namespace, want := range map[string]int{"default": 0, "learn-01": 0, "learn-045": 0, "learn-04": 1, "learn-04-other": 1} {
		before := kept(t, folder).Exercises["04"].Help()
		if err := CountExplanation(a, &cobra.Command{}, namespace); err != nil {
			t.Fatal(err)
		}
		if got := kept(t, folder).Exercises["04"].Help() - before; got != want {
			t.Errorf("%s: %d are counted, want %d", namespace, got, want)
		}
	}
	if got := strings.Count(out.String(), "as a hint does"); got != 2 {
		t.Errorf("the learner is told %d times: %s", got, out)
	}
	if err := progress.Save(folder, progress.Progress{Current: "04", Exercises: map[string]progress.Exercise{"04": {Passed: monday}}}); err != nil {
		t.Fatal(err)
	}
	if err := CountExplanation(a, &cobra.Command{}, "learn-04"); err != nil || kept(t, folder).Exercises["04"].Help() != 0 {
		t.Errorf("after passing: %+v, %v", kept(t, folder).Exercises["04"], err)
	}
}

// Without a checkout the verbs that need no cluster work, hint among them; the others say what is missing.
func TestLearnWithoutACheckout(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("SVCLAB_ROOT", "")
	stateOf(t, midway())
	for _, args := range [][]string{{"list"}, {"status"}, {"hint", "1"}, {"solution", "--yes"}} {
		if out, stderr, code := learn(t, nil, args...); code != 0 || out == "" {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
	for _, verb := range []string{"next", "check"} {
		if _, stderr, code := learn(t, nil, verb); code != 2 || !strings.Contains(stderr, "SVCLAB_ROOT") {
			t.Errorf("%s: exit code %d, %s", verb, code, stderr)
		}
	}
}

// judged is the step "reached" of exercise 04 after two clients got this outcome.
func judged(result reach.Result, outcome reach.Outcome) reach.Step {
	target := reach.Target{Kind: reach.ClusterIP, Service: "learn-04/my-service", Host: "10.96.0.9", Port: 80, Protocol: reach.TCP}
	table := reach.Table{Title: "my-service", Targets: []reach.Target{target}}
	for _, node := range []string{"worker", "worker2"} {
		cell := reach.CellVerdict{Result: result, Cell: reach.Cell{Vantage: reach.Vantage{Kind: reach.Pod, Name: "pod/" + node}, Target: target,
			Observations: []reach.Observation{{Outcome: outcome}}},
			Oracle: reach.Prediction{Rule: "endpoint-not-listening", Reason: "no program in the pods listens on 8081, so " + node + " gets a refusal",
				Outcomes: []reach.Outcome{outcome}}}
		if result != reach.Pass {
			cell.Differences = []reach.Difference{{Field: "outcome", Want: "Reached", Got: string(outcome)}}
		}
		table.Vantages, table.Cells = append(table.Vantages, cell.Cell.Vantage), append(table.Cells, cell)
	}
	return reach.Step{Name: "reached", Result: result, Tables: []reach.Table{table}}
}

func TestLearnPredictions(t *testing.T) {
	stateOf(t, progress.Progress{Current: "07"})
	pass := sees(coach.Seen{Verdict: reach.Verdict{Result: reach.Pass, Steps: []reach.Step{{Name: "as predicted", Result: reach.Pass}}}})
	d, r, out := testSession(t, strings.NewReader(""), flags{lang: "en", answers: []string{"number=refused", "name=refused"}})
	r.check = pass
	var verdict console.VerdictError
	if err := d.check(t.Context()); !errors.As(err, &verdict) || verdict.Result != reach.Fail {
		t.Errorf("a wrong prediction: %v", err)
	}
	e, err := d.load(predict, course.Sample())
	if err != nil {
		t.Fatal(err)
	}
	wants(t, out.String(), "differently from your prediction")
	if got := d.progress.Exercises["07"]; !slices.Equal(got.Misconceptions, []string{"target-port-needs-container-port"}) || got.First["number"] != "refused" {
		t.Errorf("%+v", got)
	}
	d, r, out = testSession(t, strings.NewReader("9\nx\n"+ordinal(e, "number")+"\n"), flags{lang: "en"})
	r.check, d.interactive = pass, true
	if err := d.check(t.Context()); err != nil {
		t.Error(err)
	}
	option := func(id string) string {
		return strings.Join(strings.Fields(e.Say(course.English, course.OptionID("number", id))), " ")
	}
	wants(t, strings.Join(strings.Fields(out.String()), " "), `"9" is not one of the numbers`, `"x" is not one of the numbers`, "Your prediction was right.",
		"Your first prediction was: "+option("refused")+" What is so: "+option("reached"))
	if got := d.progress.Exercises["07"]; got.Answers["number"] != "reached" || got.First["number"] != "refused" || got.Passed.IsZero() {
		t.Errorf("%+v", got)
	}
	d, _, _ = testSession(t, strings.NewReader(""), flags{lang: "en", answers: []string{"number=perhaps"}})
	if err := d.check(t.Context()); err == nil || !strings.Contains(err.Error(), "number=refused|no-endpoints|reached") {
		t.Errorf("got %v", err)
	}
}

// ordinal is what a learner types for a question's right option.
func ordinal(e course.Exercise, question string) string {
	q, _ := e.Question(question)
	return string(rune('1' + slices.Index(q.Options, q.Right)))
}

func TestLearnGoesOn(t *testing.T) {
	at := func(p progress.Progress) string {
		stateOf(t, p)
		d, r, _ := testSession(t, strings.NewReader(""), flags{lang: "en"})
		r.missing = "all"
		if err := d.resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		return d.progress.Current
	}
	done := progress.Exercise{Passed: monday}
	for _, tc := range []struct {
		name string
		p    progress.Progress
		want string
	}{
		{"who begins", progress.Progress{}, "01"},
		{"midway", midway(), "04"},
		{"after passing", progress.Progress{Current: "04", Exercises: map[string]progress.Exercise{"01": done, "04": done}}, "07"},
		{"one left behind", progress.Progress{Current: "07", Exercises: map[string]progress.Exercise{"04": done, "07": done}}, "01"},
		{"all passed", progress.Progress{Current: "07", Exercises: map[string]progress.Exercise{"01": done, "04": done, "07": done}}, "07"},
	} {
		if got := at(tc.p); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

// Verbs in two windows keep what the other did.
func TestTwoWindows(t *testing.T) {
	folder := stateOf(t, midway())
	one, _, _ := testSession(t, strings.NewReader(""), flags{})
	other, _, _ := testSession(t, strings.NewReader(""), flags{})
	err := errors.Join(one.change("04", func(x *progress.Exercise) { x.Hints = 3 }), other.change("04", func(x *progress.Exercise) { x.Checks++ }))
	if got := kept(t, folder).Exercises["04"]; err != nil || got.Hints != 3 || got.Checks != 4 {
		t.Errorf("%+v, %v", got, err)
	}
}
