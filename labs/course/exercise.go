// Package course loads the exercises of labs/exercises into values and finds what is wrong with them without a cluster.
//
// An exercise is a folder of data, NN-name. exercise.yaml says what is set up, asked, judged and diagnosed; setup/ holds the
// manifests that are applied, expect.yaml the tables of the goal, solutions/NN/ the right answers, wrong/NN-MISCONCEPTION/
// popular wrong answers, and text.en.md and text.zh.md everything that a learner reads. Loading is strict: an unknown field,
// an unused file, and a message that one language lacks are errors.
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
	// Build: the learner creates what is missing.
	Build Kind = "build"
	// Fix: the learner finds a fault and fixes it.
	Fix Kind = "fix"
	// Predict: the learner says what will happen before the cluster shows it.
	Predict Kind = "predict"
	// Incident: the learner finds several faults, with a story and against the clock.
	Incident Kind = "incident"
)

// Exercise is one folder of labs/exercises, loaded and checked. The fields with a name in JSON are those of exercise.yaml.
type Exercise struct {
	// ID is the folder's number, "04". Name is the folder's name, "04-wrong-target-port".
	ID   string `json:"-"`
	Name string `json:"-"`
	Kind Kind   `json:"kind"`
	// Par is how long an incident may take for the full score; only incidents have it.
	Par scenario.Duration `json:"par,omitempty"`
	// Prerequisites are the IDs of exercises that teach what this one needs.
	Prerequisites []string       `json:"prerequisites,omitempty"`
	Needs         scenario.Needs `json:"needs,omitempty"`
	// Claims and Shares are cluster-wide resources, as a scenario has them: "nodePort/30080".
	Claims []string `json:"claims,omitempty"`
	Shares []string `json:"shares,omitempty"`
	// Serial: the exercise disturbs what every other one stands on, such as a node's kube-proxy, so its proof runs alone.
	Serial bool `json:"serial,omitempty"`
	// Undo are programs that are run on nodes whenever the exercise is left or reset. They undo what its setup or the learner did
	// below Kubernetes. Each also succeeds if there is nothing to undo.
	Undo []steps.Node `json:"undo,omitempty"`
	// Vantages are the kinds of vantages that send the goal's requests.
	Vantages []string `json:"vantages"`
	// Cluster names the cluster-wide objects that the exercise may change. A reset restores them.
	Cluster []scenario.Ref `json:"cluster,omitempty"`
	// Namespaces are the names of additional namespaces: see Spaces.
	Namespaces []string `json:"namespaces,omitempty"`
	// Questions are asked before the check. Predict has at least one. In the other kinds they ask what a rote answer does not show.
	Questions []Question `json:"questions,omitempty"`
	// Misconceptions are tried in this order. The learner reads about the first that applies, and about one more if that is
	// independent. At the exercise's start none may apply.
	Misconceptions []Misconception `json:"misconceptions"`
	// Variants are hints that replace the plain one in certain states of the cluster.
	Variants []Variant `json:"variants,omitempty"`
	// Packet is the walk that the section packet tells. svclab learn prove compares it with a trace.
	Packet *Walk `json:"packet,omitempty"`

	Setup     Part     `json:"-"`
	Goal      Part     `json:"-"`
	Solutions []Answer `json:"-"`
	Wrong     []Answer `json:"-"`
	// Texts are the texts by language, as the files have them. Say fills in the values.
	Texts map[Language]Text `json:"-"`
	// Files are the manifests of setup by name, with the values filled in: the learner gets a copy.
	Files map[string]string `json:"-"`

	values Values
}

// Spaces returns the exercise's namespaces when the first is namespace: that one, then NAMESPACE-NAME for each additional name.
func (e Exercise) Spaces(namespace string) []string {
	spaces := []string{namespace}
	for _, name := range e.Namespaces {
		spaces = append(spaces, namespace+"-"+name)
	}
	return spaces
}

// Say returns a message in a language, with the values filled in. id may be titleID. A draft returns the English message.
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

// Part is a list of steps with everything that they use, ready for a runner.
type Part = scenario.Scenario

// Question is asked before the cluster shows the answer.
type Question struct {
	ID string `json:"id"`
	// Options are the IDs of the options, in the order in which they are printed. Their texts are messages.
	Options []string `json:"options"`
	Right   string   `json:"right"`
	// Wrong maps each other option to the misconception behind it.
	Wrong map[string]string `json:"wrong"`
	// Walk: the question is which hops a packet takes, in which order, and where its addresses change. Each option is a path of
	// Walk.Paths. svclab learn prove shows by a trace that the right one is taken and no other. The learner sees the trace after
	// the answer.
	Walk *Walk `json:"walk,omitempty"`
}

// Walk is a packet's way that is compared with a trace of one connection.
type Walk struct {
	// None says why the section packet tells no walk that a trace can show. Then nothing else is set.
	None string `json:"none,omitempty"`
	// State is the state of the exercise: solved, the default, or start.
	State string `json:"state,omitempty"`
	// From is one vantage by name; To selects one target of the Service that it names, the first one if there are several.
	From string      `json:"from,omitempty"`
	To   scenario.To `json:"to,omitempty"`
	// Hops are among those of the trace, in this order.
	Hops []Hop `json:"hops,omitempty"`
	// Paths are, by option, the hops that the option claims: see Hops.
	Paths map[string][]Hop `json:"paths,omitempty"`
}

// Hop says what a hop of a trace is like. Empty fields match everything.
type Hop struct {
	// Kind is one of HopKinds.
	Kind string `json:"kind"`
	// At is where: own (the client's node), target (the node that has the target's address), other (another node), or a slot.
	At string `json:"at,omitempty"`
	// Source is kept if the packet then has the client's own address as its source, and changed if it has not.
	Source string `json:"source,omitempty"`
	// Reply: it is a hop of the answer.
	Reply bool `json:"reply,omitempty"`
	// Verdict is how the packet ends: rejected, dropped, closed, astray, unsent.
	Verdict string `json:"verdict,omitempty"`
	// Never: the trace has no such hop. It is no part of the order.
	Never bool `json:"never,omitempty"`
}

// HopKinds are the kinds of hops of a trace: see package oracle.
func HopKinds() []string {
	return []string{"name", "send", "enter", "match", "dnat", "route", "leave", "endpoint", "receive", "end"}
}

// Misconception is a popular wrong idea, and the state of the cluster that shows it.
type Misconception struct {
	ID string `json:"id"`
	// When are conditions that must all hold. Without any, only a wrong prediction shows the misconception.
	When []Condition `json:"when,omitempty"`
	// Independent: When alone shows the misconception, whether or not one before it applies. So both are told: there are two
	// faults at once.
	Independent bool `json:"independent,omitempty"`
}

// Variant is a hint for a certain state of the cluster.
type Variant struct {
	// Hint is 1, 2 or 3.
	Hint int         `json:"hint"`
	ID   string      `json:"id"`
	When []Condition `json:"when"`
}

// Answer is a solution or a wrong answer: predictions, and steps that do what a learner would do. The fields with a name in JSON
// are those of solution.yaml and wrong.yaml.
type Answer struct {
	// Name is the folder's name: "01", "01-endpoints-mean-working". Misconception is the part after the number.
	Name          string `json:"-"`
	Misconception string `json:"-"`
	// Title says in a line of English what the answer does, for people who work on the exercise. Learners do not see it.
	Title string `json:"title"`
	// Answers are options by question.
	Answers map[string]string `json:"answers,omitempty"`
	Steps   Part              `json:"-"`
	// Files are the answer's manifests, with the values filled in.
	Files map[string]string `json:"-"`

	// unread: the file could not be read, so validation would report errors that only follow from that.
	unread bool
}

// Condition is a condition on the state of the cluster or on a check's verdict. Exactly one of its fields is set.
type Condition struct {
	// Object holds if the object is now as the step kind of the same name wants it.
	Object *steps.Object `json:"object,omitempty"`
	Cell   *CellIs       `json:"cell,omitempty"`
	Step   *StepIs       `json:"step,omitempty"`
	Count  *Count        `json:"count,omitempty"`
	// Any holds if one of the conditions holds. Not holds if the condition does not.
	Any []Condition `json:"any,omitempty"`
	Not *Condition  `json:"not,omitempty"`
}

// CellIs holds if at least one cell of the goal's tables that From and To select was observed as the other fields say. With All
// it holds if there is such a cell and all of them were.
type CellIs struct {
	// Step selects the tables of one step of the goal. Empty selects all tables.
	Step string           `json:"step,omitempty"`
	From scenario.Strings `json:"from,omitempty"`
	To   scenario.To      `json:"to,omitempty"`
	// Outcome are the outcomes that each of the cell's observations may have.
	Outcome scenario.Outcomes `json:"outcome,omitempty"`
	// Backend is a prefix of the name of one backend that answered.
	Backend string `json:"backend,omitempty"`
	// Differs are fields in which the cell differs from the goal: outcome, backend, missing backend, source, cname, host header.
	Differs scenario.Strings `json:"differs,omitempty"`
	All     bool             `json:"all,omitempty"`
}

// StepIs holds if the named step of the goal failed; with Passed, if it passed.
type StepIs struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed,omitempty"`
}

// Count holds if the exercise's namespace has at least Min and at most Max objects of a kind. Objects that are being deleted
// do not count.
type Count struct {
	// Kind is a kind as kubectl takes it. Only objects that the label selector selects and that are like Like are counted.
	Kind     string        `json:"kind"`
	Selector string        `json:"selector,omitempty"`
	Like     *steps.Object `json:"like,omitempty"`
	// Ready counts only pods that are Ready: those that get traffic.
	Ready bool `json:"ready,omitempty"`
	Min   *int `json:"min,omitempty"`
	Max   *int `json:"max,omitempty"`
}

// Values replace the placeholders in an exercise's files. They depend on the cluster.
type Values struct {
	// Namespace is the exercise's first namespace.
	Namespace string
	// Pool is a range of addresses in the nodes' network, "172.18.255.200-172.18.255.219".
	Pool string
	// Offsubnet is a range of addresses that is in no network of the cluster.
	Offsubnet string
	// Outside is the IPv4 address of the machine outside the cluster.
	Outside string
}

// Sample returns values for reading exercises without a cluster.
func Sample() Values {
	return Values{Namespace: "learn", Pool: "172.18.255.200-172.18.255.219", Offsubnet: "192.0.2.10-192.0.2.20", Outside: "172.18.0.9"}
}

// Fill replaces the placeholders in a text.
func (v Values) Fill(text string) string {
	return strings.NewReplacer("{namespace}", v.Namespace, "{pool}", v.Pool, "{offsubnet}", v.Offsubnet, "{outside}", v.Outside).Replace(text)
}

// Conditions returns all conditions of the exercise, nested ones included.
func (e Exercise) Conditions() []Condition {
	var all []Condition
	for _, m := range e.Misconceptions {
		all = append(all, m.When...)
	}
	for _, v := range e.Variants {
		all = append(all, v.When...)
	}
	for i := 0; i < len(all); i++ { // all grows while it is read
		all = append(all, all[i].Any...)
		if all[i].Not != nil {
			all = append(all, *all[i].Not)
		}
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
