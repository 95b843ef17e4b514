package page

import (
	"net/http"
	"slices"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/trace"
	"github.com/svclab/svclab/e2e/world"
)

// walkRequest asks for the way of a request: as predicted or, with Send, as one that is sent goes.
type walkRequest struct {
	From string `json:"from"`
	To   string `json:"to"`
	Send bool   `json:"send,omitempty"`
}

// walk answers with a trace.
func (s *server) walk(w http.ResponseWriter, r *http.Request) {
	var asked walkRequest
	if !read(w, r, &asked) {
		return
	}
	now, walk, found := s.live.walk(asked)
	switch {
	case !found:
		reply(w, said{Error: "this Service, or this client, is not there any more"})
		return
	case !asked.Send:
		predicted := trace.Predicted(walk)
		reply(w, said{Trace: &predicted})
		return
	case s.Trace == nil:
		reply(w, said{Error: "nothing is sent in this cluster"})
		return
	}
	seen, err := s.Trace(r.Context(), now, walk)
	if err != nil {
		reply(w, said{Error: err.Error()})
		return
	}
	reply(w, said{Trace: &seen, Summary: trace.Summary(seen)})
}

// walk predicts the way between a vantage and a target that are shown.
func (l *live) walk(asked walkRequest) (w world.World, walk oracle.Walk, found bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.scene == nil || !l.view.Traffic {
		return w, walk, false
	}
	from := slices.IndexFunc(l.scene.vantages, func(v reach.Vantage) bool { return v.Name == asked.From })
	to := slices.IndexFunc(l.scene.targets, func(t reach.Target) bool { return t.Name() == asked.To })
	if from < 0 || to < 0 {
		return w, walk, false
	}
	return l.scene.world, oracle.New(l.scene.world).Walk(l.scene.vantages[from], l.scene.targets[to]), true
}
