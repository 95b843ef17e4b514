// Package course loads the exercises of labs/exercises into values and finds what is wrong with them without a cluster.
//
// An exercise is a folder of data, NN-name: exercise.yaml says what is set up, asked, judged and diagnosed; setup/ holds
// what is applied; expect.yaml the tables of the goal; solutions/NN/ the ways to get there; wrong/NN-MISCONCEPTION/ the
// popular ways not to; text.en.md and text.zh.md all that a learner reads. Loading is strict: an unknown field, a stray
// file, a message that one language lacks are errors.
package course

import (
	"strings"

	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
)

// Kind is what a learner does in an exercise.
type Kind string

// The kinds of exercise.
const (
	// Build: make something that is not there.
	Build Kind = "build"
	// Fix: find what is wrong and mend it.
	Fix Kind = "fix"
	// Predict: say what will be before it is seen.
	Predict Kind = "predict"
)

// Exercise is one folder of labs/exercises, loaded and checked.
type Exercise struct {
	// ID is the folder's number, "04"; Name the whole folder name, "04-wrong-target-port".
	ID, Name string
	Kind     Kind
	// Prerequisites are the IDs of exercises that teach what this one needs.
	Prerequisites []string
	Needs         scenario.Needs
	// Claims and Shares are cluster-wide things, as a scenario has them: "nodePort/30080".
	Claims, Shares []string
	// Vantages are the places the goal is judged from.
	Vantages []string
	// Cluster names the cluster-wide objects that the exercise is about; reset makes them what they were.
	Cluster []scenario.Ref
	// Namespaces are further ones it has: NAMESPACE-NAME for each name.
	Namespaces []string
	Setup      Part
	Questions  []Question
	Goal       Part
	// Misconceptions are tried in this order; the first that applies is told.
	Misconceptions []Misconception
	// Variants are hints that take the place of the plain one where they apply.
	Variants  []Variant
	Solutions []Answer
	Wrong     []Answer
	// Texts are by language, as the files have them; Say fills them in.
	Texts map[Language]Text
	// Files are the manifests of setup, by name, filled in: what a learner is given to work with.
	Files map[string]string

	values Values
}

// Say returns a message in a language, filled in; titleID is one of them. A draft says it in English.
func (e Exercise) Say(l Language, id string) string {
	if _, known := e.Texts[l]; !known {
		l = English
	}
	return e.values.Fill(e.Texts[l].message(id))
}

// Draft reports whether the exercise lacks the text of a language.
func (e Exercise) Draft() bool { return len(e.Texts) < len(Languages()) }

// Title is the exercise's title.
func (e Exercise) Title(l Language) string { return e.Say(l, titleID) }

// Part are steps and all they use, ready for a runner.
type Part = scenario.Scenario

// Question is asked before the cluster shows the answer.
type Question struct {
	ID string `json:"id"`
	// Options are IDs, in the order they are offered; the texts are messages.
	Options []string `json:"options"`
	Right   string   `json:"right"`
	// Wrong maps each other option to the misconception behind it.
	Wrong map[string]string `json:"wrong"`
}

// Misconception is a popular wrong idea and how it shows.
type Misconception struct {
	ID string `json:"id"`
	// When are conditions that must all hold; none: only a wrong prediction shows it.
	When []Condition `json:"when,omitempty"`
}

// Variant is a hint for a state that was observed.
type Variant struct {
	// Hint is 1, 2 or 3.
	Hint int         `json:"hint"`
	ID   string      `json:"id"`
	When []Condition `json:"when"`
}

// Answer is a solution or a wrong answer: predictions, and steps that do what a learner would.
type Answer struct {
	// Name is the folder's: "01", "01-endpoints-mean-working". Misconception is what follows the number.
	Name, Misconception string
	// Title says in a line of English what it does; only people who work on the exercise see it.
	Title string
	// Answers are options by question.
	Answers map[string]string
	Steps   Part
	// Files are its manifests, filled in.
	Files map[string]string

	// unread: its file is in error, so nothing else can be said of it.
	unread bool
}

// Condition is about what was observed: exactly one of its fields is set.
type Condition struct {
	// Object is as in a scenario's step: the object is so now.
	Object *steps.Object `json:"object,omitempty"`
	Cell   *CellIs       `json:"cell,omitempty"`
	Step   *StepIs       `json:"step,omitempty"`
	Count  *Count        `json:"count,omitempty"`
	// Any: one of them holds. Not: it does not.
	Any []Condition `json:"any,omitempty"`
	Not *Condition  `json:"not,omitempty"`
}

// CellIs holds when a cell of the goal's tables that From and To select was observed so; with All, when each was, and
// there is one.
type CellIs struct {
	// Step limits it to the tables of one step of the goal.
	Step string           `json:"step,omitempty"`
	From scenario.Strings `json:"from,omitempty"`
	To   scenario.To      `json:"to,omitempty"`
	// Outcome are those that each of the cell's observations may have.
	Outcome scenario.Outcomes `json:"outcome,omitempty"`
	// Backend is the beginning of the name of one that answered.
	Backend string `json:"backend,omitempty"`
	// Differs names what was not as the goal says: outcome, backend, missing backend, source, cname, host header.
	Differs scenario.Strings `json:"differs,omitempty"`
	All     bool             `json:"all,omitempty"`
}

// StepIs holds when the named step of the goal failed; with Passed, when it passed.
type StepIs struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed,omitempty"`
}

// Count holds when there are so many objects of a kind in the exercise's namespace.
type Count struct {
	// Kind is what kubectl takes; Selector a label selector; Contain what each counted object must contain.
	Kind     string        `json:"kind"`
	Selector string        `json:"selector,omitempty"`
	Like     *steps.Object `json:"like,omitempty"`
	Min      *int          `json:"min,omitempty"`
	Max      *int          `json:"max,omitempty"`
}

// Values are what only a cluster knows and the exercise's files speak of.
type Values struct {
	// Namespace is the exercise's own.
	Namespace string
	// Pool is a range of addresses in the nodes' network, "172.18.255.200-172.18.255.219".
	Pool string
	// Offsubnet is one that is in no network of the cluster's.
	Offsubnet string
}

// Sample values, for looking at exercises without a cluster.
func Sample() Values {
	return Values{Namespace: "learn", Pool: "172.18.255.200-172.18.255.219", Offsubnet: "192.0.2.10-192.0.2.20"}
}

// Fill puts the values into a text.
func (v Values) Fill(text string) string {
	return strings.NewReplacer("{namespace}", v.Namespace, "{pool}", v.Pool, "{offsubnet}", v.Offsubnet).Replace(text)
}

// Mentions reports whether any condition satisfies f, nested ones included.
func Mentions(conditions []Condition, f func(Condition)) {
	for _, c := range conditions {
		f(c)
		Mentions(c.Any, f)
		if c.Not != nil {
			Mentions([]Condition{*c.Not}, f)
		}
	}
}

// Conditions are all that the exercise observes, nested ones included.
func (e Exercise) Conditions() []Condition {
	var all []Condition
	collect := func(c Condition) { all = append(all, c) }
	for _, m := range e.Misconceptions {
		Mentions(m.When, collect)
	}
	for _, v := range e.Variants {
		Mentions(v.When, collect)
	}
	return all
}

// Question returns the question with that ID.
func (e Exercise) Question(id string) (Question, bool) {
	for _, q := range e.Questions {
		if q.ID == id {
			return q, true
		}
	}
	return Question{}, false
}
