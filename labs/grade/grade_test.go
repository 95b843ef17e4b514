package grade

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/exercises"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/manifests"
)

func source() course.Source {
	return course.Source{Exercises: exercises.FS(), Manifests: manifests.FS(), Kinds: steps.Kinds(checks.Names()...)}
}

// environment is a cluster on which a check passes if something was done, and that notes what happened.
type environment struct {
	mu         sync.Mutex
	did        []string
	lacks      string
	begin, do  error
	check, end error
	verdict    reach.Result
}

func (f *environment) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did = append(f.did, what)
}
func (f *environment) Lacks(context.Context, course.Exercise) (string, error) { return f.lacks, nil }
func (f *environment) Begin(_ context.Context, _ course.Exercise, namespace string) error {
	f.note("begin " + namespace)
	return f.begin
}
func (f *environment) Do(_ context.Context, _ course.Exercise, _ string, part course.Part) error {
	for _, s := range part.Steps {
		f.note(s.Action.Describe())
	}
	return f.do
}
func (f *environment) Check(context.Context, course.Exercise, string) (coach.Seen, error) {
	f.note("check")
	return coach.Seen{Verdict: reach.Verdict{Result: f.verdict}}, f.check
}
func (f *environment) Leave(_ context.Context, namespaces []string, _ bool) error {
	f.note("leave " + strings.Join(namespaces, " "))
	return f.end
}

const first, predicted, taken = "01-first-clusterip", "02-where-is-the-cluster-ip", "16-node-port-taken"

// right returns the files of a right answer to an exercise, as the course has it.
func right(t *testing.T, name, file, text string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{name + "/README.md": {Data: []byte("# task")}, name + "/.gitkeep": {}}
	values := course.Sample()
	values.Namespace = "learn-" + course.IDOf(name)
	e, err := source().Load(name, values)
	if err != nil {
		t.Fatal(err)
	}
	answers := ""
	for question, option := range e.Solutions[0].Answers {
		answers += question + ": " + option + "\n"
	}
	files[name+"/"+course.AnswersFile] = &fstest.MapFile{Data: []byte(answers)}
	if file != "" {
		files[name+"/"+file] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

func graded(t *testing.T, env *environment, files fstest.MapFS, names ...string) []Grade {
	t.Helper()
	g := Grader{Source: source(), Values: course.Sample(), Environment: func(course.Exercise) Environment { return env }, Workers: 2}
	grades, err := g.Grade(t.Context(), files, names)
	if err != nil || len(grades) != len(names) {
		t.Fatalf("%+v, %v", grades, err)
	}
	return grades
}

// The commands come first, then the manifests; then the exercise's check judges, and the exercise is left.
func TestWhatIsDone(t *testing.T) {
	files := right(t, first, course.CommandsFile, "# mine\n\n$ kubectl create deployment x --image=y\n kubectl get pods\n")
	files[first+"/b.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: v1\nkind: Service\nmetadata: {name: my-service}\nspec: {ports: [{port: 80}]}\n")}
	files[first+"/a.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")}
	env := &environment{verdict: reach.Pass}
	grades := graded(t, env, files, first)
	want := []string{"begin learn-01", "run kubectl create deployment x --image=y", "run kubectl get pods", "apply a.yaml", "apply b.yaml", "check", "leave learn-01"}
	if !slices.Equal(env.did, want) || grades[0].Result != reach.Pass || grades[0].Err != nil {
		t.Errorf("%v, %+v", env.did, grades[0])
	}
}

// Every solution of the course that learners can write down is accepted, and the files of learners are held to its rules.
func TestTheCoursesSolutionsCanBeWrittenDown(t *testing.T) {
	names, err := source().Names()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		values := course.Sample()
		values.Namespace = "learn-" + course.IDOf(name)
		e, err := source().Load(name, values)
		if err != nil {
			t.Fatal(err)
		}
		for _, way := range e.Solutions {
			own, commands, applied := fstest.MapFS{}, "", false
			for _, step := range way.Steps.Steps {
				switch action := step.Action.(type) {
				case steps.Run:
					if applied {
						t.Errorf("%s, solution %s: a command comes after a manifest, which a learner cannot write", name, way.Name)
					}
					commands += strings.Join(strings.Fields(action.Command), " ") + "\n"
				case steps.Apply:
					applied = true
					for _, file := range action {
						own[file] = &fstest.MapFile{Data: []byte(way.Files[file])}
					}
				default:
					t.Errorf("%s, solution %s: %T cannot be written", name, way.Name, action)
				}
			}
			own[course.CommandsFile] = &fstest.MapFile{Data: []byte(commands)}
			answer, err := source().Submission(e, own)
			if err != nil || len(answer.Steps.Steps) == 0 && len(way.Steps.Steps) > 0 {
				t.Errorf("%s, solution %s: %+v, %v", name, way.Name, answer.Steps.Steps, err)
			}
		}
	}
}

func TestGrades(t *testing.T) {
	prediction := right(t, predicted, "", "")
	wrongOption := right(t, predicted, "", "")
	wrongOption[predicted+"/"+course.AnswersFile].Data = []byte("nowhere: here\n")
	noAnswer := fstest.MapFS{predicted + "/" + course.AnswersFile: {Data: []byte("# nothing yet\n")}, predicted + "/" + course.CommandsFile: {Data: []byte("# kubectl\n")}}
	shell := right(t, first, course.CommandsFile, "rm -rf /\n")
	elsewhere := right(t, first, course.CommandsFile, "kubectl --kubeconfig=/etc/other get pods\n")
	otherNamespace := right(t, first, course.CommandsFile, "kubectl delete pods --all -n kube-system\n")
	manifest := right(t, first, "x.yaml", "kind: Nonsense\n")
	notes := right(t, first, "notes.txt", "mine")
	for name, tc := range map[string]struct {
		env      *environment
		files    fstest.MapFS
		exercise string
		want     reach.Result
		why      string
	}{
		"right":                 {&environment{verdict: reach.Pass}, prediction, predicted, reach.Pass, ""},
		"the goal is not met":   {&environment{verdict: reach.Fail}, prediction, predicted, reach.Fail, ""},
		"no verdict":            {&environment{verdict: reach.Inconclusive}, prediction, predicted, reach.Inconclusive, ""},
		"no option":             {&environment{verdict: reach.Pass}, wrongOption, predicted, reach.Fail, "answers.yaml"},
		"nothing is written":    {&environment{verdict: reach.Pass}, noAnswer, predicted, reach.Fail, "no answer yet"},
		"no folder":             {&environment{verdict: reach.Pass}, fstest.MapFS{}, predicted, reach.Fail, "02-where"},
		"a shell":               {&environment{verdict: reach.Pass}, shell, first, reach.Fail, "want a kubectl command"},
		"another cluster":       {&environment{verdict: reach.Pass}, elsewhere, first, reach.Fail, "leave out --kubeconfig"},
		"another namespace":     {&environment{verdict: reach.Pass}, otherNamespace, first, reach.Fail, "-n leaves"},
		"no manifest":           {&environment{verdict: reach.Pass}, manifest, first, reach.Fail, "x.yaml"},
		"another file":          {&environment{verdict: reach.Pass}, notes, first, reach.Fail, "notes.txt"},
		"the cluster cannot":    {&environment{lacks: "needs outside"}, prediction, predicted, reach.Skipped, "needs outside"},
		"the setup fails":       {&environment{begin: errors.New("no image")}, prediction, predicted, reach.Inconclusive, "no image"},
		"the check cannot":      {&environment{check: errors.New("no prober")}, prediction, predicted, reach.Inconclusive, "no prober"},
		"what is left stays":    {&environment{verdict: reach.Pass, end: errors.New("a namespace stays")}, prediction, predicted, reach.Inconclusive, "stays"},
		"a refused command":     {&environment{do: lesson.Done(reach.Verdict{Result: reach.Fail, Steps: []reach.Step{{Name: "line 1", Result: reach.Fail, Why: "exit code 1"}}})}, prediction, predicted, reach.Fail, "line 1"},
		"a command unanswered":  {&environment{do: lesson.Done(reach.Verdict{Result: reach.Inconclusive, Steps: []reach.Step{{Name: "line 1", Result: reach.Inconclusive, Why: "no API server"}}})}, prediction, predicted, reach.Inconclusive, "no API server"},
		"a command interrupted": {&environment{do: errors.New("interrupted")}, prediction, predicted, reach.Inconclusive, "interrupted"},
	} {
		env := tc.env
		got := graded(t, env, tc.files, tc.exercise)[0]
		if got.Result != tc.want || (got.Err == nil) != (tc.why == "") || got.Err != nil && !strings.Contains(got.Err.Error(), tc.why) {
			t.Errorf("%s: %s, %v; want %s, %s", name, got.Result, got.Err, tc.want, tc.why)
		}
		begun := slices.ContainsFunc(env.did, func(s string) bool { return strings.HasPrefix(s, "begin") })
		left := slices.ContainsFunc(env.did, func(s string) bool { return strings.HasPrefix(s, "leave") })
		if begun != left {
			t.Errorf("%s: %v", name, env.did)
		}
	}
}

// A prediction that is wrong is told by its misconception, although the goal is met.
func TestAWrongPrediction(t *testing.T) {
	e, err := source().Load(predicted, course.Sample())
	if err != nil {
		t.Fatal(err)
	}
	answers, want := "", ""
	for i, q := range e.Questions {
		option := q.Right
		if i == 0 {
			for wrong, misconception := range q.Wrong {
				option, want = wrong, misconception
			}
		}
		answers += q.ID + ": " + option + "\n"
	}
	got := graded(t, &environment{verdict: reach.Pass}, fstest.MapFS{predicted + "/answers.yaml": {Data: []byte(answers)}}, predicted)[0]
	if got.Result != reach.Fail || got.Diagnosis.Misconception != want || want == "" {
		t.Errorf("%+v, want %s", got, want)
	}
}

func TestGradingIsInterrupted(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	stop(errors.New("interrupted"))
	g := Grader{Source: source(), Environment: func(course.Exercise) Environment { return &environment{} }, Workers: 1}
	grades, err := g.Grade(ctx, right(t, predicted, "", ""), []string{predicted, taken})
	if err == nil || !strings.Contains(err.Error(), "interrupted") || len(grades) != 2 || grades[1].Result != reach.Inconclusive {
		t.Errorf("%+v, %v", grades, err)
	}
}

// What GitHub Classroom's reporter reads: the points are the scores of the tests, of max_score.
func TestClassroom(t *testing.T) {
	text, err := Classroom([]Grade{{Exercise: course.Exercise{Name: first}, Result: reach.Pass},
		{Exercise: course.Exercise{Name: predicted}, Result: reach.Fail, Diagnosis: coach.Diagnosis{Misconception: "a-host"}},
		{Exercise: course.Exercise{Name: taken}, Result: reach.Skipped, Err: errors.New("not here")}})
	if err != nil {
		t.Fatal(err)
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version  int
		Status   string
		MaxScore int `json:"max_score"`
		Tests    []struct {
			Name, Status, Message string
			Score                 int
			LineNo                *int `json:"line_no"`
		}
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != 1 || got.Status != "fail" || got.MaxScore != 2 || len(got.Tests) != 2 || got.Tests[0].Status != "pass" || got.Tests[0].Score != 1 ||
		got.Tests[1].Status != "fail" || got.Tests[1].Score != 0 || got.Tests[1].Message != "a-host" || got.Tests[0].LineNo == nil || *got.Tests[0].LineNo != 0 {
		t.Errorf("%s", data)
	}
	for result, want := range map[reach.Result]string{reach.Pass: "pass", reach.Inconclusive: "error"} {
		text, err := Classroom([]Grade{{Result: result}})
		data, _ := base64.StdEncoding.DecodeString(text)
		if err != nil || !strings.Contains(string(data), `"status":"`+want+`"`) {
			t.Errorf("%s: %s, %v", result, data, err)
		}
	}
}
