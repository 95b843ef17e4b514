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

// progress is a server on loopback to which e2e.test reports the specs that have ended (flag --progress-report-url).
type progress struct {
	url    string
	server *http.Server
	served chan struct{}

	mu   sync.Mutex
	done map[string]bool
}

// listen starts the server. It writes a line to log for each of the specs that ends.
func listen(log io.Writer, specs int) (*progress, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the specs' progress: %w", err)
	}
	p := &progress{url: "http://" + listener.Addr().String(), served: make(chan struct{}), done: map[string]bool{}}
	p.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Each of the test processes counts only its own specs, so the counts in the updates are not used.
		var update struct{ Msg string }
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&update); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		p.report(log, specs, update.Msg)
	})}
	go func() { defer close(p.served); _ = p.server.Serve(listener) }() // Serve always returns an error, here that the server was closed
	return p, nil
}

// report writes that a spec has ended. e2e.test may send a message twice.
func (p *progress) report(log io.Writer, specs int, message string) {
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
	_ = p.server.Close() // updates that are cut off are not needed any more
	<-p.served
}

// Short is a spec's name without the tags that all have.
func Short(name string) string {
	return strings.TrimSuffix(strings.TrimPrefix(name, "[sig-network] "), " [Conformance]")
}
