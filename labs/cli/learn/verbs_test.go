package learn

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/exercises"
	"github.com/svclab/svclab/labs/progress"
	"github.com/svclab/svclab/manifests"
)

// learn runs a verb that needs no cluster on the small course, or on what files make of it.
func learn(t *testing.T, files fstest.MapFS, args ...string) (out, err string, code int) {
	t.Helper()
	if files == nil {
		files = smallCourse(t)
	}
	stdout, stderr := &syncBuffer{}, &syncBuffer{}
	code = run(t, files, stdout, stderr, append([]string{"learn"}, args...)...)
	return stdout.String(), stderr.String(), code
}

// run runs the command with its verb learn only.
func run(t *testing.T, files fs.FS, out, err io.Writer, args ...string) (code int) {
	t.Helper()
	a := &console.App{Streams: console.Streams{In: strings.NewReader(""), Out: out, Err: err}, Manifests: manifests.FS(), Exercises: files}
	root := &cobra.Command{Use: "svclab"}
	root.AddCommand(Command(a))
	return a.Run(t.Context(), root, args)
}

// stateOf makes a state folder with what a learner did.
func stateOf(t *testing.T, p progress.Progress) (folder string) {
	t.Helper()
	home := t.TempDir()
	t.Setenv("XDG_STATE_HOME", home)
	t.Setenv("LC_ALL", "C")
	folder = filepath.Join(home, "svclab")
	if err := progress.Save(folder, p); err != nil {
		t.Fatal(err)
	}
	return folder
}

var update = flag.Bool("update", false, "overwrite the golden files in testdata")

// golden compares what was printed with testdata/name, or writes that file with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := progress.Replace(path, []byte(got)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; to make it: go test ./labs/cli/learn -update", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; to accept it: go test ./labs/cli/learn -update; got\n%s", path, got)
	}
}

// printed is a command line and what the verb prints, which must succeed.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	out, stderr, code := learn(t, nil, args...)
	if code != 0 || stderr != "" {
		t.Errorf("%v: exit code %d, %s", args, code, stderr)
	}
	return "==> svclab learn " + strings.Join(args, " ") + "\n" + out + "\n"
}

func kept(t *testing.T, folder string) progress.Progress {
	t.Helper()
	p, err := progress.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// titles of an exercise in both languages.
func titles(t *testing.T, name string) (en, zh string) {
	t.Helper()
	e, err := (course.Source{Exercises: smallCourse(t), Manifests: manifests.FS(), Kinds: steps.Kinds()}).Load(name, course.Sample())
	if err != nil {
		t.Fatal(err)
	}
	return e.Title(course.English), e.Title(course.Chinese)
}

var monday = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

func midway() progress.Progress {
	return progress.Progress{Current: "04", Exercises: map[string]progress.Exercise{
		"01": {Started: monday, Passed: monday.Add(time.Minute), Checks: 2, Solution: true},
		"04": {Started: monday, Checks: 3, Hints: 1, Resets: 2, Misconceptions: []string{"endpoints-mean-working"}},
	}}
}

func TestLearnList(t *testing.T) {
	stateOf(t, midway())
	golden(t, "list.txt", printed(t, "list")+printed(t, "list", "--lang=zh"))
}

// An exercise that was edited by hand hides no other, and the error says how to have it back.
func TestLearnListWithADamagedExercise(t *testing.T) {
	stateOf(t, midway())
	files := smallCourse(t)
	files[fix+"/exercise.yaml"].Data = append(files[fix+"/exercise.yaml"].Data, "speed: 9\n"...)
	out, stderr, code := learn(t, files, "list")
	if code != 2 {
		t.Errorf("exit code %d", code)
	}
	wants(t, out, "01  build", "07  predict")
	wants(t, stderr, "the files of exercise "+fix+" were changed or are damaged", "speed", "git checkout -- labs/exercises/"+fix)
}

func TestLearnStatus(t *testing.T) {
	passed := midway()
	passed.Current = "01"
	got := ""
	for _, p := range []progress.Progress{midway(), {}, passed} {
		// the folder's name has another length on each machine, so the line may be wrapped before it
		folder := regexp.MustCompile(`\s+` + regexp.QuoteMeta(stateOf(t, p)))
		got += folder.ReplaceAllString(printed(t, "status"), " FOLDER")
	}
	golden(t, "status.txt", strings.ReplaceAll(got, monday.Add(time.Minute).Local().Format(time.DateTime), "TIME"))
}

func TestLearnHintsAreCounted(t *testing.T) {
	folder := stateOf(t, progress.Progress{Current: "01"})
	// hints of exercise 01 that have variants look at the cluster; 2 and 3 have none
	got := ""
	for _, tc := range []struct {
		args  []string
		count int
	}{{[]string{"hint", "2"}, 2}, {[]string{"hint", "2"}, 2}, {[]string{"hint"}, 3}, {[]string{"hint"}, 3}} {
		got += printed(t, tc.args...)
		if got := kept(t, folder).Exercises["01"].Hints; got != tc.count {
			t.Errorf("%v: %d hints are counted, want %d", tc.args, got, tc.count)
		}
	}
	golden(t, "hint.txt", got)
	for _, wrong := range []string{"0", "4", "more"} {
		if _, stderr, code := learn(t, nil, "hint", wrong); code != 2 || !strings.Contains(stderr, "the hints are 1 to 3") {
			t.Errorf("hint %s: exit code %d, %s", wrong, code, stderr)
		}
	}
}

func TestLearnHintFollowsWhatIsThere(t *testing.T) {
	d, r, out := testSession(t, strings.NewReader(""), flags{lang: "en"})
	if err := d.update(func(p *progress.Progress) { p.Current = "04" }); err != nil {
		t.Fatal(err)
	}
	s := service(8081)
	s.Object["spec"].(map[string]any)["ports"].([]any)[0].(map[string]any)["port"] = int64(8080)
	e, err := d.load(fix, course.Sample())
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range coach.Refs(e) {
		if ref.Kind == "service" {
			r.see(ref, s)
		} else {
			r.see(ref)
		}
	}
	if err := d.hint(t.Context(), "2"); err != nil {
		t.Fatal(err)
	}
	wants(t, out.String(), "You changed `port`.")
}

// A hint that needs no cluster prints the addresses that the task printed.
func TestLearnHintHasTheClustersValues(t *testing.T) {
	with := func() (*session, *syncBuffer) {
		d, _, out := testSession(t, strings.NewReader(""), flags{lang: "en"})
		files := smallCourse(t)
		delete(files, fix+"/text.zh.md")
		english := files[fix+"/text.en.md"]
		english.Data = bytes.Replace(english.Data, []byte("## hint/3\n"), []byte("## hint/3\nFree: {pool}\n\n"), 1)
		d.source.Exercises = files
		find := d.find
		d.find = func(ctx context.Context) (*environment, error) {
			found, err := find(ctx)
			found.values.Pool = "172.20.0.1-172.20.0.9"
			return found, err
		}
		return d, out
	}
	d, _ := with()
	if err := d.start(t.Context(), "04"); err != nil {
		t.Fatal(err)
	}
	d, out := with()
	if err := d.hint(t.Context(), "3"); err != nil {
		t.Fatal(err)
	}
	wants(t, out.String(), "Free: 172.20.0.1-172.20.0.9")
}

func TestLearnSolutionIsGuarded(t *testing.T) {
	folder := stateOf(t, midway())
	out, stderr, code := learn(t, nil, "solution")
	if code != 2 || out != "" || kept(t, folder).Exercises["04"].Solution {
		t.Errorf("exit code %d, %q", code, out)
	}
	wants(t, stderr, "The solution was not shown", "--yes")
	out, _, code = learn(t, nil, "solution", "--yes")
	if code != 0 || !kept(t, folder).Exercises["04"].Solution {
		t.Errorf("exit code %d, %+v", code, kept(t, folder))
	}
	wants(t, out, "Solution of exercise 04", "Way 1", "Way 2", "8080")
	p := midway()
	p.Current = "01"
	p.Change("01", func(x *progress.Exercise) { x.Solution = false })
	folder = stateOf(t, p)
	if out, _, code = learn(t, nil, "solution"); code != 0 || kept(t, folder).Exercises["01"].Solution {
		t.Errorf("after passing it needs no confirmation: exit code %d, %s", code, out)
	}
}

// The glossary is in both languages and explains the same words. Its picture fits a terminal of 80 columns.
func TestLearnWords(t *testing.T) {
	stateOf(t, progress.Progress{})
	files := smallCourse(t)
	var fields [][]string
	for _, l := range course.Languages() {
		name := "words." + string(l) + ".md"
		data, err := fs.ReadFile(exercises.FS(), name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
		out, stderr, code := learn(t, files, "words", "--lang="+string(l))
		if code != 0 {
			t.Errorf("exit code %d, %s", code, stderr)
		}
		wants(t, out, "my-service", "EndpointSlice", "kube-proxy", "headless", "nodePort", "targetPort")
		fields = append(fields, regexp.MustCompile(`EndpointSlice|targetPort|nodePort|ClusterIP|headless|kube-proxy|selector|containerPort|externalTrafficPolicy`).FindAllString(out, -1))
		picture, _, _ := strings.Cut(out, "\n- ")
		for line := range strings.Lines(picture) {
			if report.Width(strings.TrimRight(line, "\n")) > 80 {
				t.Errorf("%s: wider than 80 columns: %s", name, line)
			}
		}
	}
	for i := range fields {
		slices.Sort(fields[i])
		fields[i] = slices.Compact(fields[i])
	}
	if !slices.Equal(fields[0], fields[1]) {
		t.Errorf("the languages explain other words: %q, %q", fields[0], fields[1])
	}
}

func TestLearnExport(t *testing.T) {
	folder := stateOf(t, midway())
	out, _, code := learn(t, nil, "export", "--name=Ann")
	var got progress.Progress
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got.Learner != "Ann" || !got.Done("01") {
		t.Errorf("exit code %d, %v, %s", code, err, out)
	}
	if kept(t, folder).Learner != "Ann" {
		t.Error("the name is not kept")
	}
	out, _, code = learn(t, nil, "export", "--format=junit")
	wants(t, out, `tests="3" failures="1" errors="0" skipped="1"`, fix, "Ann")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, stderr, code := learn(t, nil, "export", "--format=yaml"); code != 2 || !strings.Contains(stderr, `"yaml": want json or junit`) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestLearnClass(t *testing.T) {
	stateOf(t, progress.Progress{})
	folder := t.TempDir()
	var files []string
	for name, p := range map[string]progress.Progress{"Ann": midway(), "王小明": {Exercises: map[string]progress.Exercise{"01": {Started: monday, Passed: monday},
		"07": {First: map[string]string{"number": "refused", "name": "refused"}, Answers: map[string]string{"number": "reached", "name": "refused"}}}}} {
		p.Version, p.Learner = progress.Version, name
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(folder, name+".json")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	slices.Sort(files)
	out, _, code := learn(t, nil, append([]string{"class"}, files...)...)
	want := `learner  01 04 07  passed
Ann      s  -  .   1/3
王小明   +  .  .   1/3
passed   2  0  0
+ passed, s passed after seeing the solution, - started, . not started

First predictions that were right, of those made:
Ann      0/0
王小明   1/2
`
	if code != 0 || out != want {
		t.Errorf("exit code %d, got\n%s\nwant\n%s", code, out, want)
	}
	if _, stderr, code := learn(t, nil, "class"); code != 2 || !strings.Contains(stderr, "name the files that learners exported") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// A class whose course is wider than the terminal gets several tables.
func TestLearnClassIsBroken(t *testing.T) {
	d, _, out := testSession(t, strings.NewReader(""), flags{lang: "en"})
	d.Style.Width = 29 // a name, five exercises, and the sum
	members := []progress.Member{{Name: "Ann", Progress: midway()}}
	ids := []string{"01", "02", "03", "04", "05"}
	d.marks(members, ids[:3], 8, ids)
	d.marks(members, ids[3:], 8, ids)
	wants(t, out.String(), "learner 01 02 03  passed\nAnn     s  .  .   1/5\n", "learner 04 05  passed\nAnn     -  .   1/5\n")
}

func TestLearnLanguage(t *testing.T) {
	folder := stateOf(t, midway())
	t.Setenv("LC_ALL", "")
	t.Setenv("LC_MESSAGES", "")
	for _, tc := range []struct{ lang, locale, want string }{
		{"", "en_US.UTF-8", "1 of 3 passed"},
		{"", "zh_CN.UTF-8", "已通过 1 / 3"},
		{"", "de_DE.UTF-8", "1 of 3 passed"},
		{"zh", "en_US.UTF-8", "已通过 1 / 3"},
		{"", "en_US.UTF-8", "已通过 1 / 3"}, // chosen midway, and kept
		{"en", "zh_CN.UTF-8", "1 of 3 passed"},
		{"", "zh_CN.UTF-8", "1 of 3 passed"},
	} {
		t.Setenv("LANG", tc.locale)
		args := []string{"status"}
		if tc.lang != "" {
			args = append(args, "--lang="+tc.lang)
		}
		out, _, _ := learn(t, nil, args...)
		wants(t, out, tc.want)
	}
	if now := kept(t, folder); now.Language != "en" || !now.Done("01") || now.Exercises["04"].Hints != 1 || now.Current != "04" {
		t.Errorf("switching changed the progress: %+v", now)
	}
	if _, stderr, code := learn(t, nil, "status", "--lang=fr"); code != 2 || !strings.Contains(stderr, `"fr": want en or zh`) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestLearnCompletion(t *testing.T) {
	stateOf(t, progress.Progress{})
	en, _ := titles(t, fix)
	out := &syncBuffer{}
	code := run(t, smallCourse(t), out, &syncBuffer{}, "__complete", "learn", "start", "")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	wants(t, out.String(), "04\t"+en+"\n", "01\t", "07\t")
	for _, verb := range []string{"list", "start", "check", "hint", "solution", "reset", "next", "watch", "status", "shell", "export"} {
		out := &syncBuffer{}
		run(t, smallCourse(t), out, &syncBuffer{}, "__complete", "learn", verb[:2])
		wants(t, out.String(), verb+"\t")
	}
}

func TestLearnBadInput(t *testing.T) {
	for _, tc := range []struct {
		name  string
		args  []string
		state string
		want  []string
	}{
		{"nothing under way", []string{"check"}, "", []string{"have not started an exercise", "svclab learn start"}},
		{"nothing to watch", []string{"watch"}, "", []string{"have not started an exercise"}},
		{"no verb", []string{"fly"}, "", []string{`no verb "fly"`, "svclab learn --help"}},
		{"an exercise as a verb", []string{"04"}, "", []string{"svclab learn start 04"}},
		{"no exercise", []string{"start", "99"}, "", []string{`no exercise "99"`, "svclab learn list"}},
		{"a damaged progress file", []string{"status"}, "{", []string{"is damaged", "mv "}},
		{"a progress file of tomorrow", []string{"status"}, `{"version": 7}`, []string{"version 7", "use a newer svclab"}},
	} {
		home := t.TempDir()
		t.Setenv("XDG_STATE_HOME", home)
		t.Setenv("LC_ALL", "C")
		if tc.state != "" {
			if err := progress.Replace(filepath.Join(home, "svclab", progress.File), []byte(tc.state)); err != nil {
				t.Fatal(err)
			}
		}
		out, stderr, code := learn(t, nil, tc.args...)
		if code != 2 || out != "" {
			t.Errorf("%s: exit code %d, %q", tc.name, code, out)
		}
		wants(t, stderr, tc.want...)
	}
}
