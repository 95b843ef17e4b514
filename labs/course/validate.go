package course

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
)

// Hints is the number of hints of every exercise.
const Hints = 3

// validate finds the errors between the parts of an exercise.
func (l *loader) validate(e Exercise) {
	if !slices.Contains([]Kind{Build, Fix, Predict, Incident}, e.Kind) {
		l.fail(exerciseFile, "kind %q: want build, fix, predict or incident", e.Kind)
	}
	if (e.Kind == Incident) != (e.Par > 0) {
		l.fail(exerciseFile, "par goes with kind incident: how long it may take")
	}
	for i, undo := range e.Undo {
		if err := undo.Validate(e.Setup); err != nil || undo.Action != "exec" {
			l.fail(exerciseFile, "undo %d: want slot, action: exec and command, in an exercise with serial: true that needs nodeControl: %v", i+1, err)
		}
	}
	if e.Kind == Predict && len(e.Questions) == 0 {
		l.fail(exerciseFile, "an exercise of kind predict has questions")
	}
	if len(e.Goal.Steps) == 0 {
		l.fail(exerciseFile, "goal is missing: say what is judged")
	}
	if len(e.Solutions) == 0 {
		l.fail(solutionsDir, "there is no solution")
	}
	if len(e.Wrong) == 0 {
		l.fail(wrongDir, "there is no wrong answer; every exercise corrects a misconception")
	}
	for _, v := range e.Vantages {
		if !slices.Contains([]reach.VantageKind{reach.Pod, reach.Node, reach.Outside, reach.Host}, reach.VantageKind(v)) {
			l.fail(exerciseFile, "vantage %q: want pod, node, outside or host", v)
		}
	}
	for _, step := range e.Goal.Steps {
		if !judges(step) {
			l.fail(exerciseFile, "goal: step %q may change what the learner made; a goal only reads, replaces pods, sends traffic, or runs a command that changes nothing", step.Name)
		}
	}
	l.validateWalks(e)
	l.validateMisconceptions(e)
	l.validateAnswers(e)
	for _, c := range e.Conditions() {
		if err := c.validate(e); err != nil {
			l.fail(exerciseFile, "%w", err)
		}
	}
	l.validateTexts(e)
}

// judges reports whether a goal may have the step. svclab learn watch must be able to distinguish the learner's changes from
// those of the check.
func judges(step scenario.Step) bool {
	switch step.Action.(type) {
	case steps.Settle, steps.ReplacePods, steps.Traffic, steps.Run:
		return true
	}
	return step.Action.ReadOnly()
}

func (l *loader) validateMisconceptions(e Exercise) {
	shown := map[string]bool{}
	for _, a := range e.Wrong {
		shown[a.Misconception] = true
	}
	for i, m := range e.Misconceptions {
		if !messageID.MatchString(m.ID) || strings.Contains(m.ID, "/") {
			l.fail(exerciseFile, "misconception %q is no ID", m.ID)
		}
		if slices.ContainsFunc(e.Misconceptions[:i], func(o Misconception) bool { return o.ID == m.ID }) {
			l.fail(exerciseFile, "misconception %s is there twice", m.ID)
		}
		predicted := slices.ContainsFunc(e.Questions, func(q Question) bool { return slices.Contains(slices.Collect(maps.Values(q.Wrong)), m.ID) })
		if len(m.When) == 0 && !predicted {
			l.fail(exerciseFile, "misconception %s has no condition, and no wrong prediction shows it", m.ID)
		}
		if !shown[m.ID] {
			l.fail(wrongDir, "no wrong answer shows misconception %s", m.ID)
		}
		delete(shown, m.ID)
	}
	for id := range shown {
		l.fail(wrongDir, "%s is no misconception of %s", id, exerciseFile)
	}
	for i, v := range e.Variants {
		if v.Hint < 1 || v.Hint > Hints || len(v.When) == 0 || !messageID.MatchString(v.ID) {
			l.fail(exerciseFile, "variant %d wants hint (1 to %d), id and when", i+1, Hints)
		}
	}
}

// validateWalks checks the walks of the section packet and of the questions.
func (l *loader) validateWalks(e Exercise) {
	if e.Packet == nil {
		l.fail(exerciseFile, "packet is missing: the walk that the section packet tells, or none: why it tells no walk")
	} else if err := e.Packet.validate(); err != nil || len(e.Packet.Hops) == 0 == (e.Packet.None == "") {
		l.fail(exerciseFile, "packet wants from, to and hops, or only none: %v", err)
	}
	for _, q := range e.Questions {
		if q.Walk == nil {
			continue
		}
		err := q.Walk.validate()
		for _, option := range q.Options {
			if len(q.Walk.Paths[option]) == 0 {
				err = errors.Join(err, fmt.Errorf("paths lacks option %s", option))
			}
		}
		if err != nil || len(q.Walk.Paths) != len(q.Options) {
			l.fail(exerciseFile, "question %s: walk wants from, to, and paths with each option and no other: %v", q.ID, err)
		}
	}
}

func (w Walk) validate() error {
	if w.None != "" {
		return nil
	}
	errs := []error{w.To.Validate()}
	if !slices.Contains([]string{"", "start", "solved"}, w.State) {
		errs = append(errs, fmt.Errorf("state %q: want start or solved", w.State))
	}
	if w.From == "" || w.To.Service == "" {
		errs = append(errs, errors.New("from and to.service are missing"))
	}
	for _, path := range append(slices.Collect(maps.Values(w.Paths)), w.Hops) {
		for _, h := range path {
			if !slices.Contains(HopKinds(), h.Kind) {
				errs = append(errs, fmt.Errorf("hop %q: want one of %v", h.Kind, HopKinds()))
			}
			if !slices.Contains([]string{"", "own", "target", "other"}, h.At) && !scenario.IsSlot(h.At) {
				errs = append(errs, fmt.Errorf("hop at %q: want own, target, other or a slot", h.At))
			}
			if !slices.Contains([]string{"", "kept", "changed"}, h.Source) {
				errs = append(errs, fmt.Errorf("hop source %q: want kept or changed", h.Source))
			}
		}
	}
	return errors.Join(errs...)
}

func (l *loader) validateAnswers(e Exercise) {
	misconception := func(id string) bool {
		return slices.ContainsFunc(e.Misconceptions, func(m Misconception) bool { return m.ID == id })
	}
	for _, q := range e.Questions {
		if !messageID.MatchString(q.ID) || len(q.Options) < 2 || !slices.Contains(q.Options, q.Right) {
			l.fail(exerciseFile, "question %q wants an id, at least two options, and right, which is one of them", q.ID)
		}
		for _, option := range q.Options {
			if id, known := q.Wrong[option]; (option == q.Right) == known || known && !misconception(id) {
				l.fail(exerciseFile, "question %s: wrong maps every option but the right one to a misconception; see option %s", q.ID, option)
			}
		}
		if len(q.Wrong) != len(q.Options)-1 {
			l.fail(exerciseFile, "question %s: wrong has an option that is not offered", q.ID)
		}
	}
	for _, a := range slices.Concat(e.Solutions, e.Wrong) {
		if a.unread {
			continue
		}
		where := solutionsDir + "/" + a.Name
		if a.Misconception != "" {
			where = wrongDir + "/" + a.Name
		}
		if len(a.Steps.Steps) == 0 && len(a.Answers) == 0 {
			l.fail(where, "it does nothing: want steps or answers")
		}
		wrong := 0
		for _, q := range e.Questions {
			option, given := a.Answers[q.ID]
			switch {
			case !given || !slices.Contains(q.Options, option):
				l.fail(where, "answers want one of the options of question %s", q.ID)
			case option != q.Right:
				wrong++
			}
		}
		if len(a.Answers) > len(e.Questions) {
			l.fail(where, "there is an answer without a question")
		}
		if a.Misconception == "" && wrong > 0 {
			l.fail(where, "a solution has the right answer to every question")
		}
	}
}

// validate checks one condition, not those nested in it.
func (c Condition) validate(e Exercise) error {
	set := 0
	for _, is := range []bool{c.Object != nil, c.Cell != nil, c.Step != nil, c.Count != nil, c.Any != nil, c.Not != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		return errors.New("a condition is exactly one of object, cell, step, count, any and not")
	}
	step := func(name string) bool {
		return slices.ContainsFunc(e.Goal.Steps, func(s scenario.Step) bool { return s.Name == name })
	}
	switch {
	case c.Object != nil && (c.Object.Ref.Kind == "" || c.Object.Ref.Name == "*"):
		return errors.New("condition object wants ref: kind/name")
	case c.Object != nil && c.Object.Absent == (len(c.Object.Want) > 0 || len(c.Object.Path) > 0 || len(c.Object.Unset) > 0):
		return errors.New("condition object wants absent: true or what it is like (want, path, unset)")
	case c.Step != nil && !step(c.Step.Name):
		return fmt.Errorf("condition step: the goal has no step %q", c.Step.Name)
	case c.Cell != nil && c.Cell.Step != "" && !step(c.Cell.Step):
		return fmt.Errorf("condition cell: the goal has no step %q", c.Cell.Step)
	case c.Cell != nil && len(c.Cell.Outcome.All()) == 0 && c.Cell.Backend == "" && len(c.Cell.Differs) == 0:
		return errors.New("condition cell wants outcome, backend or differs")
	case c.Count != nil && (c.Count.Kind == "" || c.Count.Min == nil && c.Count.Max == nil):
		return errors.New("condition count wants kind, and min or max")
	case c.Count != nil && c.Count.Ready && c.Count.Kind != "pods":
		return errors.New("condition count: only pods are ready")
	}
	return nil
}

// Messages returns the IDs that each text of the exercise must have, sorted. A text must not have others.
func (e Exercise) Messages() []string {
	ids := []string{"goal", "debrief", "packet"}
	for n := 1; n <= Hints; n++ {
		ids = append(ids, HintID(n, ""))
	}
	for _, v := range e.Variants {
		ids = append(ids, HintID(v.Hint, v.ID))
	}
	for _, m := range e.Misconceptions {
		ids = append(ids, "misconception/"+m.ID)
	}
	for _, s := range e.Goal.Steps {
		ids = append(ids, StepID(s.Name))
	}
	for _, q := range e.Questions {
		ids = append(ids, "question/"+q.ID)
		for _, option := range q.Options {
			ids = append(ids, OptionID(q.ID, option))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// HintID is the ID of hint n, or of a variant of it if variant is not empty.
func HintID(n int, variant string) string { return path.Join("hint", strconv.Itoa(n), variant) }

// StepID is the ID of the message that says what a step of the goal wants.
func StepID(name string) string { return "check/" + strings.ReplaceAll(name, " ", "-") }

// OptionID is the ID of the message of a question's option.
func OptionID(question, option string) string { return "option/" + question + "/" + option }

func (l *loader) validateTexts(e Exercise) {
	want := e.Messages()
	for _, language := range Languages() {
		file := textFile(language)
		text, known := e.Texts[language]
		if !known {
			continue // a draft; that English is missing is another error
		}
		if text.Title == "" {
			l.fail(file, "the title is missing: a first line \"# …\"")
		}
		for _, id := range want {
			if text.Messages[id] == "" {
				l.fail(file, "message %s is missing", id)
			}
		}
		for _, id := range text.order {
			if !slices.Contains(want, id) {
				l.fail(file, "message %s is not used", id)
			}
		}
		if strings.Contains(text.Messages["packet"], "\n") {
			l.fail(file, "packet is one sentence, in one paragraph of one line")
		}
	}
	english, err := quotes(e.Texts[English])
	if err != nil {
		l.fail(textFile(English), "%w", err)
	}
	for _, q := range english {
		if err := e.validateQuote(q); err != nil {
			l.fail(textFile(English), "message %s: %w", q.Message, err)
		}
	}
	for _, language := range Languages() {
		file := textFile(language)
		text, known := e.Texts[language]
		if language == English || !known {
			continue
		}
		other, err := quotes(text)
		if err != nil {
			l.fail(file, "%w", err)
		}
		if !slices.EqualFunc(english, other, sameQuote) {
			l.fail(file, "the quoted commands differ from those of the English text, or their order does")
		}
		for _, err := range stale(e.Texts[English], text) {
			l.fail(file, "%w", err)
		}
	}
}

func sameQuote(a, b Quote) bool {
	return a.State == b.State && a.Command == b.Command && a.Exit == b.Exit && slices.Equal(a.Output, b.Output)
}

func (e Exercise) validateQuote(q Quote) error {
	known := q.State == "start" || q.State == "solved" ||
		slices.ContainsFunc(e.Wrong, func(a Answer) bool { return a.Name == q.State })
	if !known {
		return fmt.Errorf("console %s: want start, solved, a wrong answer's name, or example", q.State)
	}
	probe := e.Goal
	probe.Steps, probe.Tables = []scenario.Step{{Name: "quote", Action: q.Run()}}, nil
	return probe.ValidatePart()
}
