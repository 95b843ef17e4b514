package progress

import (
	"bytes"
	"encoding/xml"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func ann() Progress {
	at := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	return Progress{Version: Version, Learner: "Ann", Exercises: map[string]Exercise{
		"01": {Started: at, Passed: at.Add(90 * time.Second), Checks: 2},
		"04": {Started: at, Checks: 3, Hints: 1, Misconceptions: []string{"endpoints-mean-working", "port-is-the-pods-port"}},
	}}
}

func TestJUnit(t *testing.T) {
	var b bytes.Buffer
	if err := JUnit(&b, ann(), []string{"01-first", "04-wrong", "05-typo"}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Suite struct {
			Name     string `xml:"name,attr"`
			Tests    int    `xml:"tests,attr"`
			Failures int    `xml:"failures,attr"`
			Skipped  int    `xml:"skipped,attr"`
			Cases    []struct {
				Name    string `xml:"name,attr"`
				Time    string `xml:"time,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
				} `xml:"failure"`
				Skipped *struct{} `xml:"skipped"`
				Out     string    `xml:"system-out"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if !strings.HasPrefix(b.String(), "<?xml") || xml.Unmarshal(b.Bytes(), &got) != nil {
		t.Fatalf("no XML: %s", b.String())
	}
	suite := got.Suite
	if suite.Name != "svclab learn Ann" || suite.Tests != 3 || suite.Failures != 1 || suite.Skipped != 1 || len(suite.Cases) != 3 {
		t.Fatalf("%+v", got)
	}
	passed, begun, open := suite.Cases[0], suite.Cases[1], suite.Cases[2]
	if passed.Name != "01-first" || passed.Time != "90.000" || passed.Failure != nil || passed.Skipped != nil {
		t.Errorf("passed: %+v", passed)
	}
	if begun.Failure == nil || begun.Failure.Message != "not passed yet; checks so far: 3" ||
		begun.Out != "hints: 1\nmisconceptions: endpoints-mean-working, port-is-the-pods-port\n" {
		t.Errorf("begun: %+v", begun)
	}
	if open.Skipped == nil || open.Failure != nil {
		t.Errorf("not begun: %+v", open)
	}
}

func TestClass(t *testing.T) {
	folder := t.TempDir()
	export := func(name string, p Progress) string {
		var b bytes.Buffer
		if err := JSON(&b, p); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, name)
		write(t, path, b.String())
		return path
	}
	nobody := ann()
	nobody.Learner = ""
	first, second, third := export("a.json", ann()), export("b.json", ann()), export("ben.json", nobody)
	members, err := Class([]string{first, second, third})
	if err != nil || len(members) != 3 {
		t.Fatalf("%+v, %v", members, err)
	}
	for i, want := range []string{"Ann", "Ann (" + second + ")", "ben"} {
		if members[i].Name != want || !members[i].Progress.Done("01") || members[i].Progress.Done("04") {
			t.Errorf("%+v, want %s", members[i], want)
		}
	}
	if _, err := Class([]string{first, filepath.Join(folder, "none.json")}); err == nil || !strings.Contains(err.Error(), "none.json") {
		t.Errorf("an export that is not there: %v", err)
	}
	damaged := filepath.Join(folder, "damaged.json")
	write(t, damaged, "{")
	if _, err := Class([]string{damaged}); err == nil || !strings.Contains(err.Error(), damaged) {
		t.Errorf("a damaged export: %v", err)
	}
	newer := filepath.Join(folder, "newer.json")
	write(t, newer, `{"version": 9}`)
	for path, want := range map[string]string{damaged: "have the learner run svclab learn export again", newer: "version 9 and this svclab knows version 1; use the svclab that the learner has"} {
		// the teacher's own progress is not meant, and nothing is to be moved
		if _, err := Class([]string{path}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "your progress") || strings.Contains(err.Error(), "mv ") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
