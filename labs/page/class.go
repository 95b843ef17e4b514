package page

import (
	"context"
	"net/http"
)

// Class is a class of learners as the page of its teacher shows it. Its methods may be called at the same time.
type Class interface {
	// Roster is what the page shows, in a language.
	Roster(language string) (Roster, error)
	// Changed gets a value when Roster has changed.
	Changed() <-chan struct{}
}

// Roster says where the learners of a class are, and which misconceptions keep them there.
type Roster struct {
	// Join is the command by which a learner joins, and Summary how many have.
	Join     string    `json:"join"`
	Summary  string    `json:"summary"`
	Stuck    []Stuck   `json:"stuck"`
	Learners []Learner `json:"learners"`
}

// Stuck is a misconception that the last check of some learners showed.
type Stuck struct {
	ID       string `json:"id"`
	Exercise string `json:"exercise"`
	// Text is HTML: what a learner reads about it.
	Text     string   `json:"text"`
	Learners []string `json:"learners"`
}

// Learner is one learner of a class.
type Learner struct {
	Name string `json:"name"`
	Code string `json:"code"`
	// Exercise is the current one, with its title; empty: none was started.
	Exercise string `json:"exercise,omitempty"`
	// State is one of open, unchecked, passed, solution, none.
	State         string `json:"state"`
	Misconception string `json:"misconception,omitempty"`
	Hints         int    `json:"hints"`
	// Passed is how many exercises are.
	Passed int `json:"passed"`
	// Since is when the exercise was started, and Heard when the last report came, in milliseconds since 1970.
	Since int64 `json:"since,omitempty"`
	Heard int64 `json:"heard"`
}

// ServeClass serves the page of a class's teacher until ctx ends. It calls ready with the page's address once it can be opened.
func ServeClass(ctx context.Context, c Class, language string, ready func(url string)) error {
	return serve(ctx, ready, func(host string) (*site, func(context.Context), error) { return newClass(c, host, language) })
}

func newClass(c Class, host, language string) (s *site, follow func(context.Context), err error) {
	if s, err = newSite("class.html", host, language); err != nil {
		return nil, nil, err
	}
	s.routes["GET hello"] = func(w http.ResponseWriter, _ *http.Request) { reply(w, hello{Language: language}) }
	return s, func(ctx context.Context) {
		for {
			s.speak("roster", func(language string) (any, error) { return c.Roster(language) })
			select {
			case <-ctx.Done():
				return
			case <-c.Changed():
			}
		}
	}, nil
}
