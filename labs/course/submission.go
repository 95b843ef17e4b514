package course

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/scenario"
)

// The files of a submission, in a folder with the exercise's name: predictions, and kubectl commands, one a line, which come before
// the manifests. Every other file NAME.yaml is a manifest.
const (
	AnswersFile  = "answers.yaml"
	CommandsFile = "commands.txt"
)

// Submission reads what a learner wrote down as the answer to an exercise, from the folder files. It is empty if the learner has
// written nothing yet. An error is for the learner: a submission is held to the rules of the exercise's own solutions.
func (s Source) Submission(e Exercise, files fs.FS) (Answer, error) {
	l := &loader{Source: Source{Exercises: files, Manifests: s.Manifests, Kinds: s.Kinds}, dir: ".", values: e.values, used: map[string]bool{}}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return Answer{}, fmt.Errorf("read the answers to %s: %w", e.Name, err)
	}
	var (
		steps     []json.RawMessage
		manifests []string
		a         = Answer{Name: e.Name, Answers: map[string]string{}}
	)
	add := func(name, kind string, value any) {
		data, _ := json.Marshal(map[string]any{"name": name, kind: value}) // strings can be encoded
		steps = append(steps, data)
	}
	for _, entry := range entries {
		switch name := entry.Name(); {
		case name == AnswersFile:
			l.decode(name, &a.Answers)
		case name == CommandsFile:
			text, _ := l.read(name)
			number := 0
			for line := range strings.Lines(l.values.Fill(text)) {
				number++
				line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "$ "))
				if line != "" && !strings.HasPrefix(line, "#") {
					add(fmt.Sprintf("%s, line %d", CommandsFile, number), "run", map[string]string{"command": line})
				}
			}
		case path.Ext(name) == ".yaml" && !entry.IsDir():
			manifests = append(manifests, name)
		case path.Ext(name) != ".md" && !strings.HasPrefix(name, "."):
			l.fail(name, "it is no part of an answer: want %s, %s, and manifests NAME.yaml", AnswersFile, CommandsFile)
		}
	}
	for _, name := range manifests {
		add(name, "apply", []string{name})
	}
	for id, option := range a.Answers {
		q, known := e.Question(id)
		switch {
		case !known:
			l.fail(AnswersFile, "the exercise has no question %q", id)
		case option == "":
			delete(a.Answers, id)
		case !slices.Contains(q.Options, option):
			l.fail(AnswersFile, "%s: %q is none of the options %s", id, option, strings.Join(q.Options, ", "))
		}
	}
	a.Steps, a.Files = l.part(e, CommandsFile, ".", "answer", steps, nil)
	if err := errors.Join(l.errs...); err != nil {
		return a, scenario.Prefixed(e.Name+"/", err)
	}
	return a, nil
}

// Empty reports whether an answer has neither predictions nor steps.
func (a Answer) Empty() bool { return len(a.Answers) == 0 && len(a.Steps.Steps) == 0 }
