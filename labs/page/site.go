package page

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Languages are those of the page.
func languages() []string { return []string{"en", "zh"} }

// site is the files and routes of a page, and what it shows live, on loopback and behind a token.
type site struct {
	hub   *hub
	files map[string]file
	// index is the file that the page's address opens.
	index, token, host, language string
	// routes are by method and path, "POST do".
	routes map[string]func(http.ResponseWriter, *http.Request)
}

func newSite(index, host, language string) (*site, error) {
	files, err := loadFiles()
	if err != nil {
		return nil, fmt.Errorf("serve the page: %w", err)
	}
	s := &site{hub: newHub(), files: files, index: index, token: rand.Text(), host: host, language: language}
	s.routes = map[string]func(http.ResponseWriter, *http.Request){"GET events": s.events}
	return s, nil
}

// serve serves a site until ctx ends, while follow keeps what it shows up to date. open makes them, for the host of the address.
func serve(ctx context.Context, ready func(url string), open func(host string) (s *site, follow func(context.Context), err error)) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("serve the page: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s, follow, err := open(listener.Addr().String())
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	web := &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	followed := make(chan struct{})
	go func() { defer close(followed); follow(ctx) }()
	ready("http://" + s.host + "/" + s.token + "/")
	select {
	case <-ctx.Done():
		err = nil
	case err = <-served:
	}
	stop()
	<-followed
	return errors.Join(err, web.Close())
}

// speak publishes a topic in all languages.
func (s *site) speak(topic string, in func(language string) (any, error)) {
	for _, language := range languages() {
		value, err := in(language)
		if err != nil {
			s.hub.publish("trouble", err.Error())
			return
		}
		s.hub.publish(topic+"-"+language, value)
	}
}

// policy lets the page load and connect to nothing but this server, and run no script and style that is not a file of it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ServeHTTP refuses requests that the page itself did not make, and those without the token.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for key, value := range map[string]string{"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
		"Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin"} {
		w.Header().Set(key, value)
	}
	if why := s.refused(r); why != "" {
		http.Error(w, why, http.StatusForbidden)
		return
	}
	token, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) != 1 {
		http.NotFound(w, r)
		return
	}
	if route := s.routes[r.Method+" "+rest]; route != nil {
		route(w, r)
		return
	}
	if rest == "" {
		rest = s.index
	}
	if found, known := s.files[rest]; known && r.Method == http.MethodGet {
		w.Header().Set("Content-Type", found.kind)
		_, _ = w.Write(found.data) // the client may be gone
		return
	}
	http.NotFound(w, r)
}

// refused says why a request is not answered; empty: it is. A name that another site has resolve to loopback is another Host.
func (s *site) refused(r *http.Request) string {
	_, port, _ := net.SplitHostPort(s.host)
	if r.Host != s.host && r.Host != "localhost:"+port {
		return "this server has another name"
	}
	origin := r.Header.Get("Origin")
	if origin == "" && (r.Method != http.MethodGet || r.Header.Get("Upgrade") != "") || origin != "" && origin != "http://"+r.Host {
		return "the request comes from another page"
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return "the request comes from another site"
	}
	return ""
}

// mostBody bounds a request's body, which is a few answers.
const mostBody = 64 << 10

// read reads the JSON body of a request.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		http.Error(w, "want application/json", http.StatusUnsupportedMediaType)
		return false
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

// reply writes JSON.
func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the client may be gone
}
