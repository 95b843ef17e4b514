package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

func junitOf(t *testing.T, run Run) (junitSuites, string) {
	t.Helper()
	var b bytes.Buffer
	if err := JUnit(&b, run); err != nil {
		t.Fatal(err)
	}
	var parsed junitSuites
	if err := xml.Unmarshal(b.Bytes(), &parsed); err != nil {
		t.Fatalf("not XML: %v", err)
	}
	return parsed, b.String()
}

// state is what a consumer shows of a case.
func state(c junitCase) string {
	switch {
	case c.Failure != nil:
		return "failure"
	case c.Error != nil:
		return "error"
	case c.Skipped != nil:
		return "skipped"
	}
	return "passed"
}

func TestJUnitCases(t *testing.T) {
	parsed, _ := junitOf(t, mixed())
	suite := parsed.Suites[0]
	var got []string
	for _, c := range suite.Cases {
		got = append(got, c.Class+" / "+c.Name+": "+state(c))
	}
	want := []string{
		"clusterip-basic / probe the VIP and the DNS name: passed",
		"clusterip-basic / kubectl get service shows the VIP and no node port: passed",
		"nodeport-every-node / probe port 30080 of every node: failure",
		"external-name / probe the alias: failure",
		"loadbalancer / probe the address: error",
		"dual-stack / 探测 IPv6 地址: passed",
		"sctp / scenario: skipped",
		"rollout / scenario: error",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if suite.Tests != 8 || suite.Failures != 2 || suite.Errors != 2 || suite.Skipped != 1 {
		t.Errorf("the counts do not fit the cases: %+v", suite)
	}
	failure := suite.Cases[2].Failure
	for _, part := range []string{"172.18.0.4:30080", "want Reached, got Refused", "alone", "svclab probe --from outside"} {
		if !strings.Contains(failure.Text, part) {
			t.Errorf("the failure's text does not say %q", part)
		}
	}
	if !slices.Contains(suite.Properties, junitProperty{"cluster.proxyMode", "nftables"}) {
		t.Errorf("the cluster's facts are missing: %v", suite.Properties)
	}
}

// A result that no step has must not get lost: CI would be green.
func TestJUnitScenarioWithoutGuiltyStep(t *testing.T) {
	for _, result := range []reach.Result{reach.Fail, reach.Inconclusive} {
		v := clusterIP()
		v.Result = result
		parsed, _ := junitOf(t, runOf(v))
		if s := parsed.Suites[0]; s.Failures+s.Errors != 1 {
			t.Errorf("%s: %d failures, %d errors", result, s.Failures, s.Errors)
		}
	}
}

func TestJUnitOfNothing(t *testing.T) {
	for name, run := range map[string]Run{"empty": {}, "all skipped": runOf(skipped())} {
		parsed, _ := junitOf(t, run)
		if parsed.Failures != 1 {
			t.Errorf("%s: %d failures, want one", name, parsed.Failures)
		}
	}
}

// What a broken server sends ends up in error texts, and must not break the file.
func TestJUnitSurvivesAnyText(t *testing.T) {
	nasty := "bad\x00\x1b[31m\xff]]> <&\"' \uFFFE end"
	v := single("nasty", reach.Refused, false)
	v.Steps[0].Why = nasty
	v.Steps[0].Tables[0].Cells[0].Cell.Observations[0].Detail = nasty
	v.Steps = append(v.Steps, reach.Step{Name: nasty, Result: reach.Pass, Lines: []string{nasty}})
	parsed, _ := junitOf(t, runOf(v))
	text := parsed.Suites[0].Cases[0].Failure.Text
	if !strings.Contains(text, "]]> <&\"'") || !strings.Contains(text, "end") {
		t.Errorf("the text is damaged: %q", text)
	}
}

// The elements, their order and their attributes are those of the schema that Jenkins' xUnit plugin checks against.
func TestJUnitFollowsTheSchema(t *testing.T) {
	children := map[string][]string{
		"":           {"testsuites"},
		"testsuites": {"testsuite"},
		"testsuite":  {"properties", "testcase"},
		"properties": {"property"},
		"property":   nil,
		"testcase":   {"skipped", "error", "failure", "system-out"},
		"skipped":    nil, "error": nil, "failure": nil, "system-out": nil,
	}
	attributes := map[string]string{
		"testsuites": "name time tests failures errors", "testsuite": "name tests failures errors time skipped timestamp",
		"property": "name value", "testcase": "name time classname", "skipped": "message", "error": "message type", "failure": "message type",
	}
	seconds := regexp.MustCompile(`^[0-9]+\.[0-9]{3}$`)
	_, text := junitOf(t, mixed())
	dec := xml.NewDecoder(strings.NewReader(text))
	stack := []string{""}
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			parent := stack[len(stack)-1]
			if !slices.Contains(children[parent], e.Name.Local) {
				t.Errorf("<%s> in <%s>", e.Name.Local, parent)
			}
			for _, a := range e.Attr {
				if !slices.Contains(strings.Fields(attributes[e.Name.Local]), a.Name.Local) {
					t.Errorf("attribute %s of <%s>", a.Name.Local, e.Name.Local)
				}
				if a.Name.Local == "time" && !seconds.MatchString(a.Value) {
					t.Errorf("time %q is not in seconds", a.Value)
				}
			}
			stack = append(stack, e.Name.Local)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		}
	}
}

func TestMarkdownIsNotMarkup(t *testing.T) {
	v := single("nasty", reach.Refused, false)
	v.Title = "a | b <script> *x* `y`\nz"
	v.Steps[0].Lines = []string{"``` fence ````"}
	var b bytes.Buffer
	if err := Markdown(&b, runOf(v)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), `a \| b &lt;script&gt; \*x\* \`+"`y\\`<br>z |") {
		t.Errorf("the title is not escaped:\n%s", b.String())
	}
	if !strings.Contains(b.String(), "\n`````text\n") {
		t.Errorf("the fence is not longer than those inside:\n%s", b.String())
	}
}

// A job summary that is too large is refused as a whole, so it must stop in time, and say so.
func TestMarkdownIsBounded(t *testing.T) {
	var verdicts []reach.Verdict
	for i := range 200 {
		v := nodePorts()
		v.Scenario = fmt.Sprint("broken-", i)
		verdicts = append(verdicts, v)
	}
	run := runOf(verdicts...)
	run.Elapsed = time.Hour
	var b bytes.Buffer
	if err := Markdown(&b, run); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 1<<20 || !strings.Contains(b.String(), "more steps did not pass: see the full report") {
		t.Errorf("%d bytes, and the text does not say what was left out", b.Len())
	}
}
