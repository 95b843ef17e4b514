package course

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/labs/exercises"
	"github.com/svclab/svclab/manifests"
)

// fix and predict are the exercises that the tests break.
const (
	fix     = "04-wrong-target-port"
	predict = "07-no-container-port"
)

// copied are exercises as files that can be changed.
func copied(t *testing.T, names ...string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	for _, name := range names {
		err := fs.WalkDir(exercises.FS(), name, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			data, err := fs.ReadFile(exercises.FS(), path)
			files[path] = &fstest.MapFile{Data: data}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func source(files fs.FS) Source {
	return Source{Exercises: files, Manifests: manifests.FS(), Kinds: steps.Kinds()}
}

// broken is one thing done to a file.
type broken func(text string) string

func appended(more string) broken { return func(text string) string { return text + more } }

func replaced(old, with string) broken {
	return func(text string) string { return strings.Replace(text, old, with, 1) }
}

func whole(text string) broken { return func(string) string { return text } }

func TestLoadTellsWhatIsWrong(t *testing.T) {
	for _, tc := range []struct {
		name, exercise, file string
		do                   broken // nil: the file is removed
		want                 []string
	}{
		{"an unknown field", fix, "exercise.yaml", appended("speed: 9\n"), []string{"exercise.yaml", "speed"}},
		{"a field twice", fix, "exercise.yaml", appended("kind: fix\n"), []string{"exercise.yaml", "kind"}},
		{"no exercise.yaml", fix, "exercise.yaml", nil, []string{"exercise.yaml"}},
		{"an unknown kind", fix, "exercise.yaml", replaced("kind: fix", "kind: guess"), []string{`kind "guess"`, "build, fix, predict or incident"}},
		{"an incident without a clock", fix, "exercise.yaml", replaced("kind: fix", "kind: incident"), []string{"par goes with kind incident"}},
		{"a clock without an incident", fix, "exercise.yaml", appended("par: 5m\n"), []string{"par goes with kind incident"}},
		{"no walk", fix, "exercise.yaml", replaced("packet:", "# packet:"), []string{"exercise.yaml"}},
		{"a walk of an unknown hop", fix, "exercise.yaml", replaced("kind: endpoint", "kind: jump"), []string{`hop "jump"`}},
		{"a walk from nowhere", fix, "exercise.yaml", replaced("  from: pod/worker\n", ""), []string{"from and to.service are missing"}},
		{"an undo that may not be", fix, "exercise.yaml", appended("undo: [{slot: worker, action: exec, command: [\"true\"]}]\n"), []string{"undo 1: want slot"}},
		{"a kind that asks nothing", fix, "exercise.yaml", replaced("kind: fix", "kind: predict"), []string{"an exercise of kind predict has questions"}},
		{"an unknown vantage", fix, "exercise.yaml", replaced("vantages: [pod]", "vantages: [moon]"), []string{`"moon"`, "pod, node, outside"}},
		{"a condition of two things", fix, "exercise.yaml", replaced("- count: {kind: pods", "- step: {name: reached}\n        count: {kind: pods"), []string{"exactly one of"}},
		{"a condition about no step", fix, "exercise.yaml", appended("  - hint: 1\n    id: x\n    when: [{step: {name: jumped}}]\n"), []string{`no step "jumped"`}},
		{"hint 0", fix, "exercise.yaml", replaced("- hint: 2", "- hint: 0"), []string{"variant 1 wants hint (1 to 3)"}},
		{"a variant without an ID", fix, "exercise.yaml", replaced("    id: port-changed\n", ""), []string{"variant 1 wants hint (1 to 3), id and when"}},
		{"a variant without a condition", fix, "exercise.yaml", appended("  - hint: 1\n    id: always\n"), []string{"variant 2 wants hint (1 to 3), id and when"}},
		{"a hint that does not exist", fix, "exercise.yaml", replaced("- hint: 2", "- hint: 4"), []string{"variant 1 wants hint (1 to 3)"}},
		{"a misconception that no wrong answer shows", fix, "exercise.yaml", replaced("- id: port-is-the-pods-port", "- id: another"), []string{"no wrong answer shows misconception another", "port-is-the-pods-port is no misconception"}},
		{"a goal that changes something", fix, "exercise.yaml", replaced("    expect: reached\n", "    expect: reached\n  - name: more\n    scale: {object: deployment/my-app, replicas: 3}\n"), []string{`step "more" may change what the learner made`}},
		{"an unused file", fix, "notes.txt", whole("x"), []string{"notes.txt: an unused file"}},
		{"a manifest that nothing applies", fix, "setup/more.yaml", whole("x"), []string{"setup/more.yaml: an unused file"}},
		{"a manifest that is not there", fix, "setup/service.yaml", nil, []string{"service.yaml"}},
		{"a manifest that is not valid", fix, "setup/service.yaml", whole("kind: {"), []string{"setup/service.yaml"}},
		{"no title of a solution", fix, "solutions/01/solution.yaml", replaced("title:", "answers: {}\n#"), []string{"solutions/01/solution.yaml", "title"}},
		{"a number left out", fix, "solutions/04/solution.yaml", whole("title: x\n"), []string{"solutions/04", "01, 02"}},
		{"a wrong answer without a misconception", fix, "wrong/03/wrong.yaml", whole("title: x\n"), []string{"wrong/03", "01-NAME"}},
		{"no text", fix, "text.en.md", nil, []string{"text.en.md"}},
		{"a message that is missing", fix, "text.en.md", replaced("## debrief", "## debriefing"), []string{"text.en.md: message debrief is missing", "text.en.md: message debriefing is not used"}},
		{"a message twice", fix, "text.en.md", appended("\n## goal\nagain\n"), []string{"message goal is there twice"}},
		{"an empty message", fix, "text.en.md", appended("\n## hint/1/x\n"), []string{"message hint/1/x is empty"}},
		{"no title", fix, "text.en.md", replaced("# ", ""), []string{"line 1: want one title"}},
		{"a path of two lines", fix, "text.en.md", func(text string) string {
			before, _, _ := strings.Cut(text, "## packet")
			return before + "## packet\none\ntwo\n"
		}, []string{"packet is one sentence"}},
		{"a block that is not closed", fix, "text.en.md", appended("\n```text\n"), []string{"block is not closed"}},
		{"a stale translation", fix, "text.en.md", replaced("## debrief\n", "## debrief\nLook. "), []string{"text.zh.md: message debrief is stale: the English text changed"}},
		{"a translation that went its own way", fix, "text.zh.md", replaced("## debrief\n", "## debrief\n看。"), []string{"text.zh.md: message debrief changed: the English text may be stale"}},
		{"a translation without a note", fix, "text.zh.md", func(text string) string {
			text, _, _ = strings.Cut(text, reviewBegin)
			return text
		}, []string{"message goal was not compared with the English one yet: svclab learn lint NN --accept"}},
		{"a quote of no state", fix, "text.en.md", replaced("```console solved", "```console later"), []string{"console later: want start, solved, a wrong answer's name, or example"}},
		{"a quote of one language", fix, "text.zh.md", replaced("$ kubectl get service,endpointslice", "$ kubectl get service"), []string{"the quoted commands differ from those of the English text"}},
		{"a question without a wrong answer", predict, "exercise.yaml", replaced("wrong: {reached: a-name-needs-no-container-port}", "wrong: {}"), []string{"question name", "wrong maps every option"}},
		{"a right answer that is not offered", predict, "exercise.yaml", replaced("right: reached", "right: always"), []string{`question "number" wants`}},
		{"a solution that predicts wrong", predict, "solutions/01/solution.yaml", replaced("number: reached", "number: refused"), []string{"a solution has the right answer to every question"}},
		{"a prerequisite that comes later", fix, "exercise.yaml", replaced("prerequisites: []", `prerequisites: ["07"]`), []string{`prerequisite "07" is no exercise before it`}},
	} {
		files := copied(t, fix, predict)
		path := tc.exercise + "/" + tc.file
		if tc.do == nil {
			delete(files, path)
		} else {
			before := ""
			if file := files[path]; file != nil {
				before = string(file.Data)
			}
			after := tc.do(before)
			if after == before {
				t.Errorf("%s: nothing was broken", tc.name)
			}
			files[path] = &fstest.MapFile{Data: []byte(after)}
		}
		_, err := source(files).LoadAll()
		if err == nil {
			t.Errorf("%s: loaded", tc.name)
			continue
		}
		for _, want := range append(tc.want, tc.exercise) {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is missing from\n%s", tc.name, want, err)
			}
		}
	}
}

// One broken file hides no error of another.
func TestLoadTellsEverythingAtOnce(t *testing.T) {
	files := copied(t, fix, predict)
	for path, more := range map[string]string{fix + "/wrong/01-endpoints-mean-working/wrong.yaml": "speed: 9\n", fix + "/text.en.md": "\n## goal\nagain\n",
		fix + "/exercise.yaml": "speed: 9\n", predict + "/solutions/01/solution.yaml": "speed: 9\n"} {
		files[path].Data = append(files[path].Data, more...)
	}
	files[predict+"/notes.txt"], files["README.md"] = &fstest.MapFile{}, &fstest.MapFile{}
	files[predict+"/exercise.yaml"].Data = bytes.Replace(files[predict+"/exercise.yaml"].Data, []byte("right: reached"), []byte("right: always"), 1)
	_, err := source(files).LoadAll()
	for _, want := range []string{"README.md: an unused file", fix + "/exercise.yaml: ", fix + "/wrong/01-endpoints-mean-working/wrong.yaml: ", "message goal is there twice",
		predict + "/solutions/01/solution.yaml: ", predict + "/notes.txt: an unused file", predict + `/exercise.yaml: question "number" wants`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing from\n%v", want, err)
		}
	}
	for _, follows := range []string{"service.yaml: an unused file", "there is no solution", "it does nothing"} {
		if strings.Contains(err.Error(), follows) {
			t.Errorf("an error that follows from another is reported: %q in\n%v", follows, err)
		}
	}
}

// Without its Chinese text an exercise is a draft, which is read in English.
func TestDraft(t *testing.T) {
	files := copied(t, fix)
	whole, err := source(files).Load(fix, Sample())
	if err != nil || whole.Draft() {
		t.Fatalf("a draft: %t, %v", whole.Draft(), err)
	}
	delete(files, fix+"/text.zh.md")
	draft, err := source(files).Load(fix, Sample())
	if err != nil || !draft.Draft() || draft.Title(Chinese) != whole.Title(English) || draft.Title(Chinese) == whole.Title(Chinese) {
		t.Errorf("a draft: %t, %q, %v", draft.Draft(), draft.Title(Chinese), err)
	}
}

func TestNames(t *testing.T) {
	files := copied(t, fix)
	files["README.md"] = &fstest.MapFile{}
	if _, err := source(files).Names(); err == nil || !strings.Contains(err.Error(), "README.md: an unused file") {
		t.Errorf("got %v", err)
	}
	if _, err := source(fstest.MapFS{}).Names(); err == nil {
		t.Error("no exercise is no course")
	}
	files = copied(t, fix)
	for path, file := range maps.Clone(files) {
		files[strings.Replace(path, fix, "04-again", 1)] = file
	}
	if _, err := source(files).LoadAll(); err == nil || !strings.Contains(err.Error(), "another exercise has the number 04") {
		t.Errorf("got %v", err)
	}
	files = fstest.MapFS{"4-short/exercise.yaml": &fstest.MapFile{}}
	if _, err := source(files).LoadAll(); err == nil || !strings.Contains(err.Error(), "NN-name") {
		t.Errorf("got %v", err)
	}
}

func TestFind(t *testing.T) {
	s := source(copied(t, fix, predict))
	for _, wanted := range []string{"4", "04", fix} {
		if name, err := s.Find(wanted); err != nil || name != fix {
			t.Errorf("%s: %s, %v", wanted, name, err)
		}
	}
	for _, wanted := range []string{"", "0", "05", "4x", "04-wrong", "../04"} {
		if name, err := s.Find(wanted); err == nil || !strings.Contains(err.Error(), "svclab learn list") {
			t.Errorf("%q: %s, %v", wanted, name, err)
		}
	}
}

func TestLoadFillsIn(t *testing.T) {
	files := copied(t, fix)
	for _, l := range Languages() {
		path := fix + "/" + textFile(l)
		text := strings.Replace(string(files[path].Data), "## debrief\n", "## debrief\n{namespace} {pool} {offsubnet}\n", 1)
		files[path] = &fstest.MapFile{Data: []byte(text)}
	}
	files[fix+"/setup/service.yaml"].Data = append(files[fix+"/setup/service.yaml"].Data, "# {pool}\n"...)
	noted, err := Accept(string(files[fix+"/text.en.md"].Data), string(files[fix+"/text.zh.md"].Data))
	if err != nil {
		t.Fatal(err)
	}
	files[fix+"/text.zh.md"].Data = []byte(noted)
	values := Values{Namespace: "learn-04", Pool: "172.20.0.1-172.20.0.9", Offsubnet: "192.0.2.1-192.0.2.9"}
	e, err := source(files).Load(fix, values)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range Languages() {
		if got := e.Say(l, "debrief"); !strings.HasPrefix(got, "learn-04 172.20.0.1-172.20.0.9 192.0.2.1-192.0.2.9") {
			t.Errorf("%s: %q", l, got)
		}
	}
	if !strings.Contains(e.Files["service.yaml"], "# 172.20.0.1-172.20.0.9") {
		t.Errorf("the learner's file: %q", e.Files["service.yaml"])
	}
	if e.ID != "04" || e.Kind != Fix || len(e.Solutions) < 2 || len(e.Wrong) < 2 || e.Wrong[0].Misconception != "endpoints-mean-working" {
		t.Errorf("%+v", e)
	}
	if e.Title(English) == "" || e.Title(English) == e.Title(Chinese) {
		t.Errorf("titles %q, %q", e.Title(English), e.Title(Chinese))
	}
}

func TestEveryExerciseLoads(t *testing.T) {
	names, err := source(exercises.FS()).Names()
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := source(exercises.FS()).LoadAll()
	if err != nil {
		t.Error(err)
	}
	if len(loaded) != len(names) {
		t.Errorf("%d of %d", len(loaded), len(names))
	}
}

func TestAccept(t *testing.T) {
	files := copied(t, fix)
	english, chinese := string(files[fix+"/text.en.md"].Data), string(files[fix+"/text.zh.md"].Data)
	same, err := Accept(english, chinese)
	if err != nil || same != chinese {
		t.Errorf("what was accepted changes: %v", err)
	}
	changed := strings.Replace(english, "## debrief\n", "## debrief\nLook. ", 1)
	noted, err := Accept(changed, chinese)
	if err != nil || noted == chinese {
		t.Fatalf("a change was not noted: %v", err)
	}
	e, err1 := parseText(changed)
	o, err2 := parseText(noted)
	if err := errors.Join(err1, err2); err != nil || len(stale(e, o)) != 0 {
		t.Errorf("still stale: %v, %v", err, stale(e, o))
	}
	if _, err := Accept(english+"\n## more\nx\n", chinese); err == nil || !strings.Contains(err.Error(), "message more is missing") {
		t.Errorf("got %v", err)
	}
	if err := stale(e, Text{Messages: o.Messages, order: o.order, reviewed: map[string]pair{"gone": {}}}); !slices.ContainsFunc(err, func(err error) bool {
		return strings.Contains(err.Error(), "message gone was reviewed but does not exist")
	}) {
		t.Errorf("got %v", err)
	}
}

func TestHashKnowsWordingNotLayout(t *testing.T) {
	if hash("a  b\nc") != hash("a b c") || hash("a b") == hash("a c") {
		t.Error("a line broken elsewhere is no other text, and another word is")
	}
}
