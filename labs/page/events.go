package page

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/wait"
)

// hub keeps the newest message of each topic for all open pages. A page that is slow misses messages that newer ones replaced.
type hub struct {
	mu      sync.Mutex
	last    map[string][]byte
	version map[string]int
	pages   map[*subscriber]bool
	// opened gets a value when a page was opened.
	opened chan struct{}
}

// subscriber is one open page.
type subscriber struct {
	sent map[string]int // the versions of what it got
	wake chan struct{}
}

func newHub() *hub {
	return &hub{last: map[string][]byte{}, version: map[string]int{}, pages: map[*subscriber]bool{}, opened: make(chan struct{}, 1)}
}

// publish replaces the message of a topic.
func (h *hub) publish(topic string, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		data = []byte(`"` + topic + ` cannot be encoded"`) // values are plain, so this does not happen
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if string(h.last[topic]) == string(data) {
		return
	}
	h.last[topic] = data
	h.version[topic]++
	for p := range h.pages {
		poke(p.wake)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is awake
	}
}

// watched reports whether a page is open.
func (h *hub) watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.pages) > 0
}

func (h *hub) join() *subscriber {
	p := &subscriber{sent: map[string]int{}, wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pages[p] = true
	poke(p.wake)
	poke(h.opened)
	return p
}

func (h *hub) leave(p *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.pages, p)
}

// news returns the messages that a page has not got, of topics without a language or in that one.
func (h *hub) news(p *subscriber, language string) (text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, topic := range slices.Sorted(maps.Keys(h.version)) {
		version := h.version[topic]
		name, of, _ := strings.Cut(topic, "-")
		if p.sent[topic] == version || of != "" && of != language {
			continue
		}
		p.sent[topic] = version
		text += fmt.Sprintf("event: %s\ndata: %s\n\n", name, h.last[topic])
	}
	return text
}

const (
	// between two deliveries changes are collected: an object that changes causes several at once.
	between = 30 * time.Millisecond
	// beatEvery is how often a silent stream gets a comment, by which the server sees that the page is closed.
	beatEvery = 15 * time.Second
)

// events streams messages to a page, as server-sent events.
func (s *site) events(w http.ResponseWriter, r *http.Request) {
	language := r.URL.Query().Get("lang")
	if language == "" {
		language = s.language
	}
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	p := s.hub.join()
	defer s.hub.leave(p)
	for {
		text := ": still here\n\n"
		silent, cancel := context.WithTimeout(r.Context(), beatEvery)
		select {
		case <-silent.Done():
		case <-p.wake:
			text = s.hub.news(p, language)
		}
		cancel()
		if _, err := w.Write([]byte(text)); err != nil {
			return
		}
		if out.Flush() != nil || wait.Sleep(r.Context(), between) != nil {
			return
		}
	}
}
