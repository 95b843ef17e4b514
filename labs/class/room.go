package class

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// place is where a room receives reports: POST brings one, DELETE takes a learner's back.
const place = "/progress"

// Room keeps the newest report of each learner. Its methods may be called at the same time.
type Room struct {
	code    string
	changed chan struct{}

	mu       sync.Mutex
	learners map[string]Learner // by ID
}

// Learner is a learner's newest report, and when it came.
type Learner struct {
	Report
	Heard time.Time
}

// NewRoom returns an empty room. code is as ParseCode returns it.
func NewRoom(code string) *Room {
	return &Room{code: code, changed: make(chan struct{}, 1), learners: map[string]Learner{}}
}

// Changed gets a value when Learners has changed.
func (r *Room) Changed() <-chan struct{} { return r.changed }

// Learners returns all learners by name, then by ID.
func (r *Room) Learners() []Learner {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Learner
	for _, l := range r.learners {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b Learner) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return all
}

// Since is when a time of the learner's clock was, by the clock of this machine.
func (l Learner) Since(at time.Time) time.Time { return l.Heard.Add(at.Sub(l.At)) }

// Address checks the address at which a room is to listen: one of this machine, so that it is chosen who can reach it.
func Address(text string) (netip.AddrPort, error) {
	at, err := netip.ParseAddrPort(text)
	if err != nil || at.Addr().IsUnspecified() {
		return at, fmt.Errorf("%q is no address of this machine with a port; name the one that the learners reach, such as 192.168.1.10:8090", text)
	}
	return at, nil
}

// The bounds of what others can make a room do.
const (
	mostConnections = 64
	requestWithin   = 10 * time.Second
)

// Serve receives reports at an address until ctx ends. It calls ready with the URL that learners join.
func (r *Room) Serve(ctx context.Context, at netip.AddrPort, ready func(url string)) error {
	listener, err := net.Listen("tcp", at.String())
	if err != nil {
		return fmt.Errorf("receive the progress of a class: %w; name an address of this machine and a free port with --listen", err)
	}
	web := &http.Server{Handler: r, ReadTimeout: requestWithin, WriteTimeout: requestWithin, IdleTimeout: requestWithin, MaxHeaderBytes: 8 << 10}
	served := make(chan error, 1)
	go func() { served <- web.Serve(netutil.LimitListener(listener, mostConnections)) }()
	ready("http://" + listener.Addr().String())
	select {
	case <-ctx.Done():
		return web.Close()
	case err = <-served:
		return errors.Join(err, web.Close())
	}
}

// ServeHTTP answers learners' machines that know the code, and no browser: a page of another site must send nothing.
func (r *Room) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	_, given, _ := strings.Cut(q.Header.Get("Authorization"), "Bearer ")
	switch {
	case q.Header.Get("Origin") != "" || q.Header.Get("Sec-Fetch-Site") != "":
		http.Error(w, "a browser sends no progress; use svclab learn join", http.StatusForbidden)
		return
	case subtle.ConstantTimeCompare([]byte(given), []byte(r.code)) != 1:
		http.Error(w, "the class has another code", http.StatusUnauthorized)
		return
	case q.URL.Path != place || q.Method != http.MethodPost && q.Method != http.MethodDelete:
		http.NotFound(w, q)
		return
	case q.Header.Get("Content-Type") != "application/json":
		http.Error(w, "want application/json", http.StatusUnsupportedMediaType)
		return
	}
	var report Report
	decoder := json.NewDecoder(http.MaxBytesReader(w, q.Body, mostBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&report)
	if err == nil {
		err = report.validate()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !r.take(report, q.Method == http.MethodDelete) {
		http.Error(w, fmt.Sprintf("the class has %d learners already", mostLearners), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// take keeps a report, unless there is a newer one of the learner, or forgets the learner. It returns false if the room is full.
func (r *Room) take(report Report, gone bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, known := r.learners[report.ID]
	switch {
	case gone:
		delete(r.learners, report.ID)
	case known && report.At.Before(before.At):
		return true // two commands of a learner have sent at once
	case !known && len(r.learners) >= mostLearners:
		return false
	default:
		r.learners[report.ID] = Learner{Report: report, Heard: time.Now()}
	}
	select {
	case r.changed <- struct{}{}:
	default: // it has a value
	}
	return true
}
