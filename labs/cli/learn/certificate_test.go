package learn

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/svclab/svclab/labs/progress"
)

// The certificate says what the progress says, in both languages, loads nothing, and claims no more than it can.
func TestCertificate(t *testing.T) {
	p := midway()
	p.Change("04", func(e *progress.Exercise) { e.Passed, e.Hints, e.Explained = monday.AddDate(0, 0, 1), 2, 1 })
	stateOf(t, p)
	for language, said := range map[string][]string{
		"en": {`<html lang="en">`, "2 of 3 exercises passed, the last on 2026-11-24, with 3 hints in all.", "Endpoints, and every connection is refused", "0, solution seen", "proves nothing by itself"},
		"zh": {`<html lang="zh">`, "共通过 2 / 3 道练习，最近一道在 2026-11-24，总共用了 3 条提示。", "0，看过答案", "不能作为证明"},
	} {
		path := filepath.Join(t.TempDir(), "own.html")
		out, stderr, code := learn(t, nil, "certificate", "--lang", language, "--name", `Ann <script>"&`, path)
		if code != 0 || !strings.Contains(strings.ReplaceAll(out, "\n", " "), filepath.Base(path)) {
			t.Fatalf("exit code %d, %s%s", code, out, stderr)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		wants(t, string(data), append(said, "Ann &lt;script&gt;", "@page", `content="default-src 'none'`)...)
		lacks(t, string(data), "http://", "https://", "<script", "url(", "07-", "ZgotmplZ")
		root, err := html.Parse(strings.NewReader(string(data)))
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		for n := range root.Descendants() {
			if n.Data == "tr" && n.Type == html.ElementNode {
				rows++
			}
		}
		if rows != 3 { // the head, and two exercises
			t.Errorf("%d rows", rows)
		}
		before := string(data)
		if _, stderr, code := learn(t, nil, "certificate", path); code != 2 || !strings.Contains(stderr, "exists already") {
			t.Errorf("a second time: exit code %d, %s", code, stderr)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != before {
			t.Errorf("it was overwritten: %v", err)
		}
	}
}

func TestCertificateOfNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	begun := midway()
	delete(begun.Exercises, "01")
	for want, p := range map[string]progress.Progress{"you have passed none of the 3 exercises, so there is nothing to certify; to begin": {},
		"started and not passed: 04": begun} {
		stateOf(t, p)
		out, stderr, code := learn(t, nil, "certificate")
		if code != 2 || out != "" || !strings.Contains(stderr, want) {
			t.Errorf("exit code %d, %s%s", code, out, stderr)
		}
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// The score of incidents is the one that the course shows.
func TestCertificateOfAnIncident(t *testing.T) {
	p := midway()
	delete(p.Exercises, "01")
	p.Change("42", func(e *progress.Exercise) { e.Started, e.Passed, e.Hints = monday, monday.AddDate(0, 0, 0), 1 })
	stateOf(t, p)
	s, _, _ := testSession(t, strings.NewReader(""), flags{lang: "en"})
	s.source = realSource()
	c, err := s.certified()
	if err != nil || len(c.Rows) != 1 || c.Rows[0].Score != "85" || c.Sums[1] != "Incidents: 85 of 100 points." {
		t.Errorf("%+v, %v", c, err)
	}
}
