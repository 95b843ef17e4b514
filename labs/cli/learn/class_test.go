package learn

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/labs/class"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/page"
	"github.com/svclab/svclab/labs/progress"
)

// teacher is a room that is served, and its URL.
func teacher(t *testing.T) (*class.Room, string) {
	t.Helper()
	room := class.NewRoom("ABCD-2345")
	ctx, stop := context.WithCancel(context.Background())
	url, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- room.Serve(ctx, netip.MustParseAddrPort("127.0.0.1:0"), func(at string) { url <- at })
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return room, <-url
}

// Nothing is sent before a learner joins, and after leaving. Meanwhile each command sends, and says if it cannot.
func TestJoinAndLeave(t *testing.T) {
	folder := stateOf(t, midway())
	room, url := teacher(t)
	ok := func(args ...string) string {
		t.Helper()
		out, stderr, code := learn(t, nil, args...)
		if code != 0 {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
		return out + stderr
	}
	wants(t, ok("leave"), "You are in no class")
	ok("status")
	if out, stderr, code := learn(t, nil, "join", url, "ABCD-2346"); code != 2 || out != "" || !strings.Contains(stderr, "another code") {
		t.Errorf("a wrong code: exit code %d, %s%s", code, out, stderr)
	}
	if _, err := os.Stat(filepath.Join(folder, class.File)); err == nil || len(room.Learners()) != 0 {
		t.Fatalf("in a class without its code: %+v", room.Learners())
	}
	text := ok("join", url, "abcd2345", "--name", "Ann")
	learners := room.Learners()
	if len(learners) != 1 || learners[0].Name != "Ann" || learners[0].Current != "04" {
		t.Fatalf("%+v", learners)
	}
	code := class.Short(learners[0].ID)
	wants(t, text, "Your code: "+code, "not encrypted", "svclab learn leave")
	wants(t, ok("status"), "Your code: "+code)
	ok("join", url, "ABCD-2345") // again: the row is kept, and the name
	if again := room.Learners(); len(again) != 1 || again[0].Name != "Ann" {
		t.Errorf("%+v", again)
	}
	ok("solution", "--yes") // a change
	if !room.Learners()[0].Exercises["04"].Solution {
		t.Errorf("the change was not sent: %+v", room.Learners())
	}
	wants(t, ok("leave"), "Nothing is sent any more")
	if len(room.Learners()) != 0 {
		t.Errorf("the class remembers %+v", room.Learners())
	}
	if text := ok("status"); strings.Contains(text, "class") || len(room.Learners()) != 0 {
		t.Errorf("after leaving: %s, %+v", text, room.Learners())
	}
}

// Without the teacher's network a learner works on. A later command sends everything.
func TestAwayFromTheClass(t *testing.T) {
	folder := stateOf(t, midway())
	room, url := teacher(t)
	m, err := class.NewMember("http://127.0.0.1:1", "ABCD-2345")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Save(folder); err != nil {
		t.Fatal(err)
	}
	out, stderr, code := learn(t, nil, "hint", "3")
	if code != 0 || !strings.Contains(out, "Hint 3") || !strings.Contains(stderr, "It is kept, and sent by a later command") {
		t.Errorf("exit code %d, %s%s", code, out, stderr)
	}
	if _, stderr, code := learn(t, nil, "join", url, "ABCD-2345"); code != 2 || !strings.Contains(stderr, "leave it first") {
		t.Errorf("a second class: exit code %d, %s", code, stderr)
	}
	m.URL = url
	if err := m.Save(folder); err != nil {
		t.Fatal(err)
	}
	if _, stderr, _ := learn(t, nil, "list"); stderr != "" || len(room.Learners()) != 1 || room.Learners()[0].Exercises["04"].Hints != 3 {
		t.Errorf("%s, %+v", stderr, room.Learners())
	}
	if err := os.WriteFile(filepath.Join(folder, class.File), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := learn(t, nil, "list"); code != 0 || !strings.Contains(stderr, "svclab learn leave") {
		t.Errorf("a damaged file: exit code %d, %s", code, stderr)
	}
	if out, _, code := learn(t, nil, "leave"); code != 0 || !strings.Contains(out, "Nothing is sent") {
		t.Errorf("it cannot be left: exit code %d, %s", code, out)
	}
}

// A check tells the class which misconception it showed last, also while a page is open in which no command ends.
func TestTheClassFollows(t *testing.T) {
	folder := stateOf(t, progress.Progress{Current: "04", Exercises: map[string]progress.Exercise{"04": {Started: monday, Shows: "old"}}})
	room, url := teacher(t)
	m, err := class.NewMember(url, "ABCD-2345")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Save(folder); err != nil {
		t.Fatal(err)
	}
	c, r := webSession(t)
	stop := c.class.follow(t.Context())
	defer stop()
	until := func(what string, holds func(class.Exercise) bool) {
		t.Helper()
		for bound := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if all := room.Learners(); len(all) == 1 && holds(all[0].Exercises["04"]) {
				return
			}
			if time.Now().After(bound) {
				t.Fatalf("%s: %+v", what, room.Learners())
			}
		}
	}
	until("at first", func(e class.Exercise) bool { return e.Misconception == "old" })
	r.check = sees(reachSeen(reach.Fail, reach.Refused))
	do(t, c, page.Action{Verb: "check", Language: "en"})
	until("after a check", func(e class.Exercise) bool { return e.Misconception == "" && !e.Checked.IsZero() })
	if state, err := c.State("en"); err != nil || !strings.Contains(state.Class, "Your code: "+class.Short(m.ID)) {
		t.Errorf("%q, %v", state.Class, err)
	}
	m.URL = "http://127.0.0.1:1"
	before := c.Stamp()
	if err := m.Save(folder); err != nil {
		t.Fatal(err)
	}
	for bound := time.Now().Add(10 * time.Second); c.class.problem() == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(bound) {
			t.Fatal("the follower does not notice that the class is away")
		}
	}
	if state, err := c.State("zh"); err != nil || !strings.Contains(state.Class, "班级没有收到你的进度") || c.Stamp() == before {
		t.Errorf("%q, %v", state.Class, err)
	}
}

// What a check stores is what it showed, and nothing of an earlier one.
func TestCheckStoresWhatItShowed(t *testing.T) {
	stateOf(t, progress.Progress{Current: "04"})
	s, _, _ := testSession(t, strings.NewReader(""), flags{lang: "en"})
	e, err := s.load(fix, course.Sample())
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{"endpoints-mean-working", ""} {
		if err := s.keep(e, finding{diagnosis: coach.Diagnosis{Misconception: shown}}); err != nil {
			t.Fatal(err)
		}
		if x := s.progress.Exercises["04"]; x.Shows != shown || x.Checked.IsZero() || len(x.Misconceptions) != 1 {
			t.Errorf("%+v, want %q", x, shown)
		}
	}
}

// roomOf is a class of four: two are stuck, one has passed, one has a newer svclab.
func roomOf(t *testing.T) *classroom {
	t.Helper()
	room, url := teacher(t)
	for _, p := range []progress.Progress{
		{Learner: "Ann", Current: "04", Exercises: map[string]progress.Exercise{"01": {Started: monday, Passed: monday},
			"04": {Started: time.Now().Add(-12*time.Minute - 5*time.Second), Checked: monday, Hints: 1, Shows: "endpoints-mean-working"}}},
		{Learner: "王小明", Current: "04", Exercises: map[string]progress.Exercise{"04": {Started: monday, Checked: monday, Passed: monday, Shows: "endpoints-mean-working"}}},
		{Current: "99", Exercises: map[string]progress.Exercise{"99": {Checked: monday, Shows: "unheard-of"}}},
		{Learner: "<b>Zoe</b>", Current: "04", Exercises: map[string]progress.Exercise{"04": {Checked: monday, Shows: "endpoints-mean-working"}}},
	} {
		m, err := class.NewMember(url, "ABCD-2345")
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Send(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	s, _, _ := testSession(t, strings.NewReader(""), flags{lang: "en"})
	e, err := s.load(fix, course.Sample())
	if err != nil {
		t.Fatal(err)
	}
	return &classroom{room: room, exercises: map[string]course.Exercise{"04": e}, join: "svclab learn join " + url + " ABCD-2345"}
}

func TestRoster(t *testing.T) {
	c := roomOf(t)
	for language, title := range map[string]string{"en": "04 Endpoints, and every connection is refused", "zh": "04 "} {
		r, err := c.Roster(language)
		if err != nil || len(r.Learners) != 4 || len(r.Stuck) != 2 {
			t.Fatalf("%+v, %v", r, err)
		}
		names := map[string]page.Learner{}
		for _, l := range r.Learners {
			names[l.Name] = l
		}
		if l := names["Ann"]; !strings.HasPrefix(l.Exercise, title) || l.State != stateOpen || l.Misconception != "endpoints-mean-working" || l.Hints != 1 || l.Passed != 1 ||
			time.Since(time.UnixMilli(l.Since)).Round(time.Minute) != 12*time.Minute {
			t.Errorf("%+v", l)
		}
		if l := names["王小明"]; l.State != statePassed || l.Misconception != "" {
			t.Errorf("%+v", l)
		}
		if l := names[""]; l.Exercise != "99" || l.Misconception != "unheard-of" || len(l.Code) != 4 {
			t.Errorf("%+v", l)
		}
		first := r.Stuck[0]
		if first.ID != "endpoints-mean-working" || len(first.Learners) != 2 || !strings.HasPrefix(first.Text, "<p>") || r.Stuck[1].Text != "" {
			t.Errorf("%+v", r.Stuck)
		}
	}
}

func TestClassAsText(t *testing.T) {
	c := roomOf(t)
	s, _, out := testSession(t, strings.NewReader(""), flags{lang: "en"})
	r, err := c.Roster("en")
	if err != nil {
		t.Fatal(err)
	}
	s.roster(r)
	wants(t, regexp.MustCompile(` [A-Z2-7]{4}\s+`).ReplaceAllString(out.String(), " CODE "),
		"learners: 4", "\nAnn CODE 04 Endpoints, and every connection is refused: not yet, for 12 min; hints: 1, passed: 1; endpoints-mean-working\n",
		"\nStuck at 04 endpoints-mean-working (2): <b>Zoe</b>, Ann\n", "Stuck at 99 unheard-of (1): ")
}

// The text view prints the class at once and whenever it changes, until Ctrl-C.
func TestServeClass(t *testing.T) {
	stateOf(t, progress.Progress{})
	s, _, out := testSession(t, strings.NewReader(""), flags{lang: "en"})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.serveClass(ctx, serving{text: true, listen: loopback, code: "abcd2345"}) }()
	says := func(want string) string {
		t.Helper()
		for bound := time.Now().Add(15 * time.Second); !strings.Contains(out.String(), want); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(bound) {
				t.Fatalf("it printed %s", out)
			}
		}
		return out.String()
	}
	found := regexp.MustCompile(`svclab learn join (\S+)\s+ABCD-2345`).FindStringSubmatch(says("learners: 0"))
	if found == nil || !strings.Contains(out.String(), "Only this machine can send") {
		t.Fatalf("it printed %s", out)
	}
	m, err := class.NewMember(found[1], "ABCD-2345")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Send(ctx, midway()); err != nil {
		t.Fatal(err)
	}
	says("learners: 1")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestClassFlags(t *testing.T) {
	stateOf(t, progress.Progress{})
	for want, args := range map[string][]string{
		"no address of this machine":   {"class", "--serve", "--listen", "0.0.0.0:8090"},
		"no code of a class":           {"class", "--serve", "--code", "1234"},
		"name an address of this":      {"class", "--serve", "--listen", "192.0.2.1:8090"},
		"--serve reads no files":       {"class", "--serve", "ann.json"},
		"are for --serve":              {"class", "--text", "ann.json"},
		"no address of a class":        {"join", "teacher", "ABCD-2345"},
		"characters that cannot be":    {"join", "http://127.0.0.1:1", "ABCD-2345", "--name", "a\tb"},
		"send to the class at http://": {"join", "http://127.0.0.1:1", "ABCD-2345"},
	} {
		out, stderr, code := learn(t, nil, args...)
		if code != 2 || out != "" || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit code %d, %s%s", args, code, out, stderr)
		}
	}
}
