// Package page is a web page on this machine's loopback that shows a cluster as it is: its nodes, pods, Services and
// EndpointSlices, which vantage reaches what, and a request on its way hop by hop. With a Course it has the exercise, its verbs
// and a terminal too. It judges nothing: a Course runs the verbs of the command line. ServeClass is the page of a class's teacher.
//
// Other programs and other web sites on the machine must not use it, because its terminal is a shell. So it listens on loopback
// only, every path begins with a token, and Host, Origin and Sec-Fetch-Site are checked. It loads nothing from other servers.
package page

import (
	"context"
	"net/http"
	"os/exec"
	"runtime"
	"slices"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/trace"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// Options say what the page shows. Cluster is necessary.
type Options struct {
	Cluster Cluster
	// Prober sends the probes. Nil: nothing is sent, and the page shows what the oracle predicts.
	Prober Prober
	// Trace sends a request along a walk and reads its path from the nodes' kernels. Nil: a walk is only predicted.
	Trace func(ctx context.Context, w world.World, walk oracle.Walk) (trace.Trace, error)
	// View is what is shown without a Course.
	View View
	// Course is the course that is done in the page; nil: there is none.
	Course Course
	// Language is "en" or "zh", until the person chooses another one.
	Language string
}

// Cluster is the cluster that is shown; package cluster has it.
type Cluster interface {
	Client() kubernetes.Interface
	Dynamic() dynamic.Interface
	Facts(ctx context.Context) (world.Facts, error)
	Vantages(ctx context.Context) ([]reach.Vantage, error)
}

// Prober sends probes; probe.Client is one.
type Prober interface {
	Observe(ctx context.Context, requests []probe.Request) ([]reach.Cell, error)
}

// View is what may be shown of a cluster.
type View struct {
	Namespaces []string
	// Traffic: who reaches what. Reasons: what is predicted, and why.
	Traffic, Reasons bool
}

// Course is the course as the page needs it. Its methods may be called at the same time.
type Course interface {
	// View is what the page may show at this point of the current exercise.
	View() (View, error)
	// State is what the page shows of the course, in a language.
	State(language string) (State, error)
	// Do runs a verb of the course and returns what it says, as HTML. An error is for the person to read.
	Do(ctx context.Context, a Action) (html string, err error)
	// Stamp changes when State may have changed, also by a command in another window.
	Stamp() string
	// Shell returns the shell of the current exercise, which ends with ctx.
	Shell(ctx context.Context) (*exec.Cmd, error)
}

// Action is a verb of a course with its arguments.
type Action struct {
	Verb     string `json:"verb"`
	Language string `json:"language"`
	// Exercise is that of the verb start.
	Exercise string `json:"exercise,omitempty"`
	// Answers are predictions, "QUESTION=OPTION".
	Answers []string `json:"answers,omitempty"`
}

// State is what the page shows of a course.
type State struct {
	// Summary says how many exercises are passed.
	Summary string `json:"summary"`
	// Class says in which class the learner is, and the code by which the teacher finds the learner; empty: in none.
	Class     string  `json:"class,omitempty"`
	Exercises []Entry `json:"exercises"`
	// Task is the current exercise; nil: there is none.
	Task *Task `json:"task,omitempty"`
}

// Entry is an exercise in the list.
type Entry struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	Title   string `json:"title"`
	Passed  bool   `json:"passed,omitempty"`
	Current bool   `json:"current,omitempty"`
	Notes   string `json:"notes,omitempty"`
}

// Task is the current exercise.
type Task struct {
	ID      string `json:"id"`
	Heading string `json:"heading"`
	// Goal is HTML.
	Goal      string     `json:"goal"`
	Passed    bool       `json:"passed,omitempty"`
	Questions []Question `json:"questions,omitempty"`
	Hints     int        `json:"hints"`
	HintsOf   int        `json:"hintsOf"`
	// Notes say what is missing on this machine, and where the exercise's files are.
	Notes []string `json:"notes,omitempty"`
}

// Question is one that is answered before a check.
type Question struct {
	ID      string   `json:"id"`
	Text    string   `json:"text"`
	Answer  string   `json:"answer,omitempty"`
	Options []Option `json:"options"`
}

// Option is an answer that can be chosen.
type Option struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// server is the page while it is served.
type server struct {
	*site
	Options
	live *live
}

// Serve serves the page until ctx ends. It calls ready with the page's address once it can be opened.
func Serve(ctx context.Context, o Options, ready func(url string)) error {
	return serve(ctx, ready, func(host string) (*site, func(context.Context), error) {
		s, err := newServer(o, host)
		if err != nil {
			return nil, nil, err
		}
		return s.site, s.follow, nil
	})
}

func newServer(o Options, host string) (*server, error) {
	site, err := newSite("index.html", host, o.Language)
	if err != nil {
		return nil, err
	}
	s := &server{site: site, Options: o, live: &live{Options: o, hub: site.hub}}
	s.routes["POST walk"] = s.walk
	s.routes["GET hello"] = func(w http.ResponseWriter, _ *http.Request) { reply(w, s.hello()) }
	if o.Course != nil {
		s.routes["POST do"], s.routes["GET terminal"] = s.do, s.terminal
	}
	return s, nil
}

// said is what a verb or a walk answers.
type said struct {
	HTML  string       `json:"html,omitempty"`
	Trace *trace.Trace `json:"trace,omitempty"`
	// Summary says the result of a trace.
	Summary string `json:"summary,omitempty"`
	Error   string `json:"error,omitempty"`
}

// do runs a verb of the course.
func (s *server) do(w http.ResponseWriter, r *http.Request) {
	var a Action
	if !read(w, r, &a) {
		return
	}
	html, err := s.Course.Do(r.Context(), a)
	s.tell()
	answer := said{HTML: html}
	if err != nil {
		answer.Error = err.Error()
	}
	reply(w, answer)
}

// hello is what the page can do.
type hello struct {
	Language string `json:"language"`
	Course   bool   `json:"course"`
	// Sends: requests are sent, and their path can be traced if Traces. Otherwise all is predicted.
	Sends  bool `json:"sends"`
	Traces bool `json:"traces"`
	// Terminal is "yes", or why there is none: "windows", "unbuilt".
	Terminal string `json:"terminal"`
}

func (s *server) hello() hello {
	h := hello{Language: s.Language, Course: s.Course != nil, Sends: s.Prober != nil, Traces: s.Trace != nil, Terminal: "yes"}
	if _, built := s.files["bundle/xterm.js"]; !built {
		h.Terminal = "unbuilt"
	}
	if runtime.GOOS == "windows" {
		h.Terminal = "windows"
	}
	return h
}

// stampEvery is how often the page looks whether a command in another window has changed the course's state.
const stampEvery = 250 * time.Millisecond

// follow shows the cluster, and what changes in the course, until ctx ends.
func (s *server) follow(ctx context.Context) {
	if s.Course == nil {
		s.live.run(ctx, s.View)
		return
	}
	var (
		shown View
		began bool
		stop  = func() {}
	)
	defer func() { stop() }()
	for stamp := ""; ; {
		if now := s.Course.Stamp(); now != stamp || !began {
			stamp = now
			s.tell()
			view, err := s.Course.View()
			switch {
			case err != nil:
				s.hub.publish("trouble", err.Error())
			case !began || !slices.Equal(view.Namespaces, shown.Namespaces):
				stop()
				within, cancel := context.WithCancel(ctx)
				ended := make(chan struct{})
				go func() { defer close(ended); s.live.run(within, view) }()
				stop = func() { cancel(); <-ended }
				shown, began = view, true
			case view.Traffic != shown.Traffic || view.Reasons != shown.Reasons:
				s.live.allow(view)
				shown = view
			}
		}
		if wait.Sleep(ctx, stampEvery) != nil {
			return
		}
	}
}

// tell publishes the state of the course in all languages.
func (s *server) tell() {
	s.speak("state", func(language string) (any, error) { return s.Course.State(language) })
}
