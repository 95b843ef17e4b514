package page

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// fakeClass is a class whose roster changes when the test says so.
type fakeClass struct {
	learners chan []Learner
	changed  chan struct{}
	now      []Learner
}

func (f *fakeClass) Changed() <-chan struct{} { return f.changed }
func (f *fakeClass) Roster(language string) (Roster, error) {
	select {
	case f.now = <-f.learners:
	default:
	}
	return Roster{Join: "svclab learn join", Summary: fmt.Sprint(len(f.now), " in ", language), Learners: f.now}, nil
}

// The page of a class is behind the same checks as that of a course, has its own start, and follows the class.
func TestClassPage(t *testing.T) {
	class := &fakeClass{learners: make(chan []Learner, 2), changed: make(chan struct{}, 1)}
	web := httptest.NewUnstartedServer(nil)
	s, follow, err := newClass(class, web.Listener.Addr().String(), "zh")
	if err != nil {
		t.Fatal(err)
	}
	web.Config.Handler = s
	web.Start()
	defer web.Close()
	ctx, stop := context.WithCancel(t.Context())
	followed := make(chan struct{})
	go func() { defer close(followed); follow(ctx) }()
	defer func() { stop(); <-followed }()

	for path, want := range map[string]string{"/" + s.token + "/": `<script type="module" src="class.js">`, "/" + s.token + "/class.js": "roster", "/": "404", "/wrong/": "404",
		"/" + s.token + "/do": "404", "/" + s.token + "/terminal": "404", "/" + s.token + "/progress": "404"} {
		w := httptest.NewRecorder()
		q := httptest.NewRequest(http.MethodGet, path, nil)
		q.Host = s.host
		s.ServeHTTP(w, q)
		if !strings.Contains(w.Body.String(), want) || w.Header().Get("Content-Security-Policy") != policy {
			t.Errorf("%s: %d %.200s, %v", path, w.Code, w.Body, w.Header())
		}
	}
	for header, value := range map[string]string{"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"} {
		q := httptest.NewRequest(http.MethodGet, "/"+s.token+"/events", nil)
		q.Host = s.host
		q.Header.Set(header, value)
		if header == "Host" {
			q.Host = value
		}
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, q); w.Code != http.StatusForbidden {
			t.Errorf("%s %s: %d", header, value, w.Code)
		}
	}

	bounded, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(bounded, http.MethodGet, web.URL+"/"+s.token+"/events?lang=en", nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Body.Close() }()
	lines := bufio.NewScanner(stream.Body)
	newest := func(want string) (r Roster) {
		t.Helper()
		for lines.Scan() {
			data, found := strings.CutPrefix(lines.Text(), "data: ")
			if found && json.Unmarshal([]byte(data), &r) == nil && r.Summary == want {
				return r
			}
		}
		t.Fatalf("the stream ended without %q: %v", want, lines.Err())
		return r
	}
	newest("0 in en")
	class.learners <- []Learner{{Name: `<img src=x onerror="alert(1)">`, Code: "ABCD"}}
	class.changed <- struct{}{}
	if r := newest("1 in en"); r.Learners[0].Code != "ABCD" {
		t.Errorf("%+v", r)
	}
}
