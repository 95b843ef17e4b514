package upstream

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// progress is where e2e.test tells which specs have ended: a server on loopback, for its flag --progress-report-url.
type progress struct {
	url    string
	server *http.Server
	served chan struct{}

	mu   sync.Mutex
	done map[string]bool
}

// listen starts the server. Each spec that ends, of so many, gets a line in log.
func listen(log io.Writer, specs int) (*progress, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the specs' progress: %w", err)
	}
	p := &progress{url: "http://" + listener.Addr().String(), served: make(chan struct{}), done: map[string]bool{}}
	p.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Any number of processes tell; each counts only its own specs, so the counts they send are of no use.
		var update struct{ Msg string }
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&update); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		p.tell(log, specs, update.Msg)
	})}
	go func() { defer close(p.served); _ = p.server.Serve(listener) }() // always ends with an error, of being closed
	return p, nil
}

// tell says that a spec has ended. A message may come again, from the next one's process.
func (p *progress) tell(log io.Writer, specs int, message string) {
	state, name, _ := strings.Cut(message, " ")
	marks := map[string]string{"PASSED": "✓", "FAILED": "✗"}
	p.mu.Lock()
	defer p.mu.Unlock()
	if marks[state] == "" || p.done[name] {
		return
	}
	p.done[name] = true
	_, _ = fmt.Fprintf(log, "upstream: %d/%d %s %s\n", len(p.done), specs, marks[state], Short(name))
}

func (p *progress) close() {
	_ = p.server.Close() // progress that is cut off is of no use to anybody any more
	<-p.served
}

// Short is a spec's name without the tags that all have.
func Short(name string) string {
	return strings.TrimSuffix(strings.TrimPrefix(name, "[sig-network] "), " [Conformance]")
}
