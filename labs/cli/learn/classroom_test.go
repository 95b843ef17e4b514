package learn

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/exercises"
	"github.com/svclab/svclab/labs/grade"
	"github.com/svclab/svclab/labs/progress"
	"github.com/svclab/svclab/manifests"
)

// realSource are the exercises of the course.
func realSource() course.Source {
	return course.Source{Exercises: exercises.FS(), Manifests: manifests.FS(), Kinds: steps.Kinds(checks.Names()...)}
}

// The repository of a class has a workflow, and a folder for each exercise in which nothing is answered yet. Its workflow uses the
// svclab that was asked for.
func TestClassroomOfTheWholeCourse(t *testing.T) {
	stateOf(t, progress.Progress{})
	s, _, _ := testSession(t, strings.NewReader(""), flags{lang: "en"})
	s.source = realSource()
	folder := filepath.Join(t.TempDir(), "class")
	if err := s.classroom(folder, "v1.2.3", nil); err != nil {
		t.Fatal(err)
	}
	names, err := s.source.Names()
	if err != nil {
		t.Fatal(err)
	}
	answered, err := s.answered(filepath.Join(folder, "exercises"))
	if err != nil || !slices.Equal(answered, names) {
		t.Errorf("%v, %v", answered, err)
	}
	for _, name := range names {
		e, err := s.load(name, course.Sample())
		if err != nil {
			t.Fatal(err)
		}
		own := os.DirFS(filepath.Join(folder, "exercises", name))
		if a, err := s.source.Submission(e, own); err != nil || !a.Empty() {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
		task, err := fs.ReadFile(own, "README.md")
		if err != nil {
			t.Fatal(err)
		}
		wants(t, string(task), e.Title(course.English), e.Title(course.Chinese))
		if named := strings.Contains(string(task), "172.18."); named {
			t.Errorf("%s: the task names an address of a cluster that the learner does not have", name)
		}
		var questions map[string]string
		if data, err := fs.ReadFile(own, course.AnswersFile); err == nil {
			if err := yaml.UnmarshalStrict(data, &questions); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if len(questions) != len(e.Questions) {
			t.Errorf("%s asks %v", name, questions)
		}
	}
	workflow, err := os.ReadFile(filepath.Join(folder, workflowFile))
	if err != nil {
		t.Fatal(err)
	}
	wants(t, string(workflow), "ref: v1.2.3\n", "SVCLAB_FAMILY: dual\n") // exercise 38 needs both IP families
	lacks(t, string(workflow), "SVCLAB_REF", "CLUSTER_FAMILY")
	few := filepath.Join(t.TempDir(), "few")
	if err := s.classroom(few, "v1.2.3", []string{"01", "37"}); err != nil {
		t.Fatal(err)
	}
	if workflow, err = os.ReadFile(filepath.Join(few, workflowFile)); err != nil {
		t.Fatal(err)
	}
	wants(t, string(workflow), "SVCLAB_FAMILY: ipv4\n")

	// nothing is overwritten, and nothing is written next to what is there
	before := tree(t, folder)
	if err := os.RemoveAll(filepath.Join(folder, "exercises")); err != nil {
		t.Fatal(err)
	}
	if err := s.classroom(folder, "main", nil); err == nil || !strings.Contains(err.Error(), "nothing was written") {
		t.Error(err)
	}
	if after := tree(t, folder); len(after) != 2 || after[0] != before[0] {
		t.Errorf("%v", after)
	}
}

// tree lists the files of a folder with their texts.
func tree(t *testing.T, folder string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files = append(files, path+"\n"+string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestClassroomOfAFewExercises(t *testing.T) {
	stateOf(t, progress.Progress{})
	folder := t.TempDir()
	printed(t, "export", "--classroom", folder, "--exercise", "7,04,04")
	entries, err := os.ReadDir(filepath.Join(folder, "exercises"))
	if err != nil || len(entries) != 2 || entries[0].Name() != fix {
		t.Errorf("%v, %v", entries, err)
	}
	for want, args := range map[string][]string{
		"there is no exercise":          {"--classroom", t.TempDir(), "--exercise", "99"},
		"is no tag, branch or commit":   {"--classroom", t.TempDir(), "--ref", "main\n- run: evil"},
		"are for --classroom":           {"--exercise", "04"},
		"leave one of them out":         {"--classroom", t.TempDir(), "--format", "junit"},
		"names no folder":               {"--classroom="},
		"nothing was written; name ano": {"--classroom", folder},
	} {
		if out, stderr, code := learn(t, nil, append([]string{"export"}, args...)...); code != 2 || out != "" || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit code %d, %s%s", args, code, out, stderr)
		}
	}
}

func TestGraded(t *testing.T) {
	stateOf(t, progress.Progress{})
	s, _, out := testSession(t, strings.NewReader(""), flags{lang: "en"})
	load := func(name string) course.Exercise {
		e, err := s.load(name, course.Sample())
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	names, err := s.source.Names()
	if err != nil {
		t.Fatal(err)
	}
	result := filepath.Join(t.TempDir(), "result")
	grades := []grade.Grade{{Exercise: load(names[0]), Result: reach.Pass},
		{Exercise: load(fix), Result: reach.Fail, Seen: reachSeen(reach.Fail, reach.Refused), Diagnosis: coach.Diagnosis{Misconception: "endpoints-mean-working"}},
		{Exercise: load(names[2]), Result: reach.Fail, Seen: reachSeen(reach.Pass, reach.Reached), Answers: map[string]string{"number": "reached"}}}
	verdict := console.VerdictError{}
	if err := s.graded(grades, result); !errors.As(err, &verdict) || verdict.Result != reach.Fail {
		t.Error(err)
	}
	wants(t, out.String(), "Pass         "+names[0], "Fail         "+fix, "Not yet:", "The question name is not answered", "1 of 3 passed")
	lacks(t, out.String(), "Why:")
	if data, err := os.ReadFile(result); err != nil || len(data) == 0 {
		t.Errorf("%s, %v", data, err)
	}
	if err := s.graded(grades[:1], ""); err != nil {
		t.Error(err)
	}
	grades[0].Result = reach.Skipped
	if err := s.graded(grades[:1], ""); !errors.As(err, &verdict) || verdict.Result != reach.Inconclusive {
		t.Errorf("nothing was graded: %v", err)
	}
	if _, err := s.answered(t.TempDir()); err == nil || !strings.Contains(err.Error(), "svclab learn export --classroom DIR") {
		t.Error(err)
	}
}
