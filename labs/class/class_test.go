package class

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/labs/progress"
)

var monday = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

func ann() progress.Progress {
	return progress.Progress{Version: progress.Version, Learner: "Ann", Language: "zh", Current: "04", Exercises: map[string]progress.Exercise{
		"01": {Started: monday, Passed: monday.Add(time.Minute), Checks: 7, Resets: 3, Solution: true, Answers: map[string]string{"q": "secret"}, First: map[string]string{"q": "secret"}},
		"04": {Started: monday, Hints: 1, Explained: 1, Checked: monday.Add(time.Hour), Shows: "endpoints-mean-working", Misconceptions: []string{"earlier"}},
	}}
}

// served is a room, and a member of it.
func served(t *testing.T) (*Room, Member) {
	t.Helper()
	room := NewRoom(NewCode())
	web := httptest.NewServer(room)
	t.Cleanup(web.Close)
	m, err := NewMember(web.URL, room.code)
	if err != nil {
		t.Fatal(err)
	}
	return room, m
}

// A report has what a teacher needs, and nothing else of the progress.
func TestOnlyWhatATeacherNeedsIsSent(t *testing.T) {
	data, err := json.Marshal(report("ID", ann(), monday.Add(2*time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":1,"id":"ID","name":"Ann","at":"2026-11-23T09:00:00Z","current":"04","exercises":{` +
		`"01":{"started":"2026-11-23T07:00:00Z","passed":"2026-11-23T07:01:00Z","solution":true},` +
		`"04":{"started":"2026-11-23T07:00:00Z","checked":"2026-11-23T08:00:00Z","hints":2,"misconception":"endpoints-mean-working"}}}`
	if string(data) != want {
		t.Errorf("got  %s\nwant %s", data, want)
	}
}

func TestSendAndLeave(t *testing.T) {
	room, m := served(t)
	if err := m.Send(t.Context(), ann()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-room.Changed():
	default:
		t.Error("the room does not say that it changed")
	}
	all := room.Learners()
	if len(all) != 1 || all[0].Name != "Ann" || all[0].Exercises["04"].Misconception != "endpoints-mean-working" {
		t.Fatalf("%+v", all)
	}
	// an older report that arrives late changes nothing, and another learner has another row
	old := report(m.ID, progress.Progress{}, time.Now().Add(-time.Minute))
	if err := m.request(t.Context(), http.MethodPost, old); err != nil || room.Learners()[0].Name != "Ann" {
		t.Errorf("%+v, %v", room.Learners(), err)
	}
	other, err := NewMember(m.URL, m.Code)
	if err != nil || other.ID == m.ID {
		t.Fatalf("%+v, %v", other, err)
	}
	if err := other.Send(t.Context(), progress.Progress{Learner: "Aaron"}); err != nil || len(room.Learners()) != 2 || room.Learners()[0].Name != "Aaron" {
		t.Errorf("%+v, %v", room.Learners(), err)
	}
	if err := m.Leave(t.Context()); err != nil || len(room.Learners()) != 1 {
		t.Errorf("%+v, %v", room.Learners(), err)
	}
}

// A learner's clock may be wrong: times are taken from when the report came.
func TestSince(t *testing.T) {
	wrong := time.Date(2001, 1, 1, 10, 0, 0, 0, time.UTC)
	l := Learner{Report: Report{At: wrong}, Heard: monday}
	if got := l.Since(wrong.Add(-5 * time.Minute)); !got.Equal(monday.Add(-5 * time.Minute)) {
		t.Error(got)
	}
}

// A client that does not know the code, and every browser, is refused before a byte of the body is read.
func TestOthersAreRefused(t *testing.T) {
	room := NewRoom("ABCD-2345")
	good, err := json.Marshal(report(strings.Repeat("A", 26), ann(), monday))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		method, path, code string
		header             map[string]string
		body               string
		want               int
	}{
		"a learner":              {"POST", place, "ABCD-2345", nil, string(good), 204},
		"no code":                {"POST", place, "", nil, string(good), 401},
		"another code":           {"POST", place, "ABCD-2346", nil, string(good), 401},
		"a part of the code":     {"POST", place, "ABCD", nil, string(good), 401},
		"a page of another site": {"POST", place, "ABCD-2345", map[string]string{"Origin": "http://evil.example"}, string(good), 403},
		"a browser":              {"POST", place, "ABCD-2345", map[string]string{"Sec-Fetch-Site": "none"}, string(good), 403},
		"a form":                 {"POST", place, "ABCD-2345", map[string]string{"Content-Type": "text/plain"}, string(good), 415},
		"a read":                 {"GET", place, "ABCD-2345", nil, "", 404},
		"another path":           {"POST", "/", "ABCD-2345", nil, string(good), 404},
		"the path without code":  {"GET", "/nowhere", "", nil, "", 401},
		"no JSON":                {"POST", place, "ABCD-2345", nil, "{", 400},
		"an unknown field":       {"POST", place, "ABCD-2345", nil, strings.Replace(string(good), `"name"`, `"answers"`, 1), 400},
		"too much":               {"POST", place, "ABCD-2345", nil, `{"name": "` + strings.Repeat("x", mostBody) + `"}`, 400},
	} {
		q := httptest.NewRequest(tc.method, tc.path, strings.NewReader(tc.body))
		q.Header.Set("Content-Type", "application/json")
		if tc.code != "" {
			q.Header.Set("Authorization", "Bearer "+tc.code)
		}
		for key, value := range tc.header {
			q.Header.Set(key, value)
		}
		w := httptest.NewRecorder()
		room.ServeHTTP(w, q)
		if w.Code != tc.want {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, tc.want)
		}
	}
	if n := len(room.Learners()); n != 1 {
		t.Errorf("%d learners", n)
	}
}

func TestReportsAreBounded(t *testing.T) {
	many := map[string]Exercise{}
	for i := range mostExercises + 1 {
		many[fmt.Sprintf("%03d", i)] = Exercise{}
	}
	for name, change := range map[string]func(*Report){
		"another version":         func(r *Report) { r.Version = 2 },
		"no ID":                   func(r *Report) { r.ID = "" },
		"a chosen ID":             func(r *Report) { r.ID = "../../etc" },
		"no time":                 func(r *Report) { r.At = time.Time{} },
		"a long name":             func(r *Report) { r.Name = strings.Repeat("名", mostName+1) },
		"a name with a terminal":  func(r *Report) { r.Name = "\x1b[2J" },
		"a name in another line":  func(r *Report) { r.Name = "a\nb" },
		"a name right to left":    func(r *Report) { r.Name = "\u202eevil" },
		"an exercise that is one": func(r *Report) { r.Current = "<script>" },
		"an unknown exercise":     func(r *Report) { r.Exercises = map[string]Exercise{"<b>": {}} },
		"a misconception":         func(r *Report) { r.Exercises = map[string]Exercise{"01": {Misconception: "<b>"}} },
		"hints without end":       func(r *Report) { r.Exercises = map[string]Exercise{"01": {Hints: mostHints + 1}} },
		"exercises without end":   func(r *Report) { r.Exercises = many },
	} {
		r := report(strings.Repeat("A", 26), ann(), monday)
		if err := r.validate(); err != nil {
			t.Fatal(err)
		}
		if change(&r); r.validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	room := NewRoom("ABCD-2345")
	for i := range mostLearners {
		if !room.take(Report{ID: fmt.Sprint(i)}, false) {
			t.Fatalf("learner %d finds no room", i)
		}
	}
	if room.take(Report{ID: "one more"}, false) || !room.take(Report{ID: "0", Name: "again"}, false) || len(room.Learners()) != mostLearners {
		t.Error("the room is not bounded, or a learner in it is refused")
	}
}

func TestCodes(t *testing.T) {
	code := NewCode()
	for _, typed := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", ""), strings.ReplaceAll(code, "-", " ")} {
		if got, err := ParseCode(typed); err != nil || got != code {
			t.Errorf("%q: %q, %v", typed, got, err)
		}
	}
	for _, typed := range []string{"", "ABCD", "ABCD-2349", "ABCD-23456", "ABCD-234é"} {
		if _, err := ParseCode(typed); err == nil {
			t.Errorf("%q is a code", typed)
		}
	}
	if got, err := ParseCode("o0i1-2345"); err != nil || got != "OOII-2345" {
		t.Errorf("%q, %v", got, err)
	}
	if NewCode() == code {
		t.Error("two classes have the same code")
	}
}

func TestNewMember(t *testing.T) {
	for address, good := range map[string]bool{"http://192.168.1.10:8090": true, "http://teacher.local:8090/": true, "http://[fd00::1]:8090": true,
		"https://192.168.1.10:8090": false, "192.168.1.10:8090": false, "http://192.168.1.10": false, "http://a:b@c:1": false, "http://a:1/x": false, "http://a:1?x": false, "": false} {
		if m, err := NewMember(address, "abcd2345"); (err == nil) != good {
			t.Errorf("%q: %+v, %v", address, m, err)
		}
	}
}

func TestAddress(t *testing.T) {
	for text, good := range map[string]bool{"192.168.1.10:8090": true, "127.0.0.1:0": true, "[::1]:8090": true,
		"0.0.0.0:8090": false, "[::]:8090": false, ":8090": false, "localhost:8090": false, "192.168.1.10": false, "": false} {
		if _, err := Address(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestMembershipIsStored(t *testing.T) {
	folder := t.TempDir()
	if _, joined, err := Load(folder); joined || err != nil {
		t.Errorf("%v, %v", joined, err)
	}
	m, err := NewMember("http://127.0.0.1:1", "ABCD-2345")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Save(folder); err != nil {
		t.Fatal(err)
	}
	if got, joined, err := Load(folder); got != m || !joined || err != nil {
		t.Errorf("%+v, %v, %v", got, joined, err)
	}
	if info, err := os.Stat(filepath.Join(folder, File)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(folder, File), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, joined, err := Load(folder); joined || err == nil || !strings.Contains(err.Error(), "svclab learn leave") {
		t.Errorf("%v, %v", joined, err)
	}
	for range 2 {
		if err := Forget(folder); err != nil {
			t.Error(err)
		}
	}
}

// A teacher's machine that is away, silent, or leads elsewhere costs a command little, and gets nothing.
func TestTroubleOnTheWay(t *testing.T) {
	m := Member{URL: "http://127.0.0.1:1", Code: "ABCD-2345", ID: strings.Repeat("A", 26)}
	if err := m.Send(t.Context(), ann()); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("no listener: %v", err)
	}
	var elsewhere bytes.Buffer
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = elsewhere.ReadFrom(q.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer other.Close()
	leads := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		http.Redirect(w, q, other.URL+place, http.StatusTemporaryRedirect)
	}))
	defer leads.Close()
	m.URL = leads.URL
	if err := m.Send(t.Context(), ann()); !errors.Is(err, ErrRefused) || elsewhere.Len() > 0 {
		t.Errorf("a redirection: %v; it got %q", err, elsewhere.String())
	}
	over := make(chan bool)
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	defer silent.Close()
	defer close(over)
	m.URL = silent.URL
	began := time.Now()
	if err := m.Send(t.Context(), ann()); err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Error(err)
	}
	if took := time.Since(began); took < sendWithin || took > 10*sendWithin {
		t.Errorf("it took %s", took)
	}
}

func TestServe(t *testing.T) {
	room := NewRoom("ABCD-2345")
	ctx, stop := context.WithCancel(t.Context())
	url, served := make(chan string, 1), make(chan error, 1)
	go func() {
		served <- room.Serve(ctx, netip.MustParseAddrPort("127.0.0.1:0"), func(at string) { url <- at })
	}()
	m, err := NewMember(<-url, "abcd-2345")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Send(t.Context(), ann()); err != nil || len(room.Learners()) != 1 {
		t.Errorf("%v, %+v", err, room.Learners())
	}
	taken := netip.MustParseAddrPort(strings.TrimPrefix(m.URL, "http://"))
	if err := NewRoom("ABCD-2345").Serve(t.Context(), taken, func(string) {}); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("a port that is taken: %v", err)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if !reflect.DeepEqual(room.Learners()[0].Exercises, report(m.ID, ann(), monday).Exercises) {
		t.Errorf("%+v", room.Learners())
	}
}
