package report

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// The elements follow the schema that Jenkins' xUnit plugin publishes, which GitLab, GitHub actions and
// Azure read as well: testsuites > testsuite > properties, testcase > skipped | error | failure, system-out.
type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr,omitempty"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string       `xml:"classname,attr"`
	Name    string       `xml:"name,attr"`
	Time    string       `xml:"time,attr"`
	Skipped *junitSkip   `xml:"skipped"`
	Error   *junitDetail `xml:"error"`
	Failure *junitDetail `xml:"failure"`
	Out     *junitText   `xml:"system-out"`
}

// junitText is CDATA, so that people can read it in the file.
type junitText struct {
	Text string `xml:",cdata"`
}

type junitSkip struct {
	Message string `xml:"message,attr"`
}

type junitDetail struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",cdata"`
}

// JUnit writes one testcase per step, its class the scenario. A failed step is a failure, an inconclusive
// one an error, and so are a planned scenario that was lost and a run in which nothing ran. Times are seconds.
func JUnit(w io.Writer, run Run) error {
	return TestSuite{Name: cmp.Or(run.Tool, "svclab"), Started: run.Started, Elapsed: run.Elapsed, Cases: testCases(run),
		properties: properties(run)}.JUnit(w)
}

// TestSuite is what a JUnit report holds.
type TestSuite struct {
	Name    string
	Started time.Time
	Elapsed time.Duration
	Cases   []TestCase

	properties []junitProperty
}

// TestCase is one case of a JUnit report. Inconclusive is an error there.
type TestCase struct {
	Class, Name string
	Elapsed     time.Duration
	Result      reach.Result
	// Message is the reason, in a line, and Text the details of a case that was run and did not pass.
	Message, Text string
	// Out is the case's output, whatever its result.
	Out string
}

// JUnit writes the suite.
func (s TestSuite) JUnit(w io.Writer) error {
	suite := junitSuite{Name: s.Name, Time: seconds(s.Elapsed), Properties: s.properties}
	if !s.Started.IsZero() {
		suite.Timestamp = s.Started.UTC().Format("2006-01-02T15:04:05")
	}
	for _, c := range s.Cases {
		suite.add(c)
	}
	root := junitSuites{Name: suite.Name, Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors,
		Time: suite.Time, Suites: []junitSuite{suite}}
	text, err := xml.MarshalIndent(root, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, text)
	}
	if err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	return nil
}

// add appends a case and counts it.
func (s *junitSuite) add(c TestCase) {
	row := junitCase{Class: c.Class, Name: c.Name, Time: seconds(c.Elapsed)}
	detail := &junitDetail{Message: c.Message, Type: string(c.Result), Text: strings.Map(xmlRune, c.Text)}
	s.Tests++
	switch c.Result {
	case reach.Pass:
	case reach.Fail:
		s.Failures++
		row.Failure = detail
	case reach.Skipped:
		s.Skipped++
		row.Skipped = &junitSkip{Message: c.Message}
	default:
		s.Errors++
		row.Error = detail
	}
	if c.Out != "" {
		row.Out = &junitText{Text: strings.Map(xmlRune, c.Out)}
	}
	s.Cases = append(s.Cases, row)
}

func testCases(run Run) []TestCase {
	var cases []TestCase
	if run.Conformance != nil {
		cases = behaviourCases(*run.Conformance)
	}
	listed := map[string]bool{}
	for _, v := range run.Verdicts {
		listed[v.Scenario] = true
		cases = append(cases, scenarioCases(v)...)
	}
	for _, s := range run.Skips() {
		if !listed[s.Scenario] {
			cases = append(cases, TestCase{Class: s.Scenario, Name: "scenario", Result: reach.Skipped, Message: s.Reason})
		}
	}
	for _, name := range run.Lost() {
		cases = append(cases, TestCase{Class: name, Name: "scenario", Result: reach.Inconclusive, Message: "planned, but the run ended without it"})
	}
	if run.Totals().Run == 0 {
		cases = append(cases, TestCase{Class: cmp.Or(run.Tool, "svclab"), Name: "at least one scenario runs", Result: reach.Fail,
			Message: "no scenario ran, and a run that verified nothing is no pass"})
	}
	return cases
}

// scenarioCases are one case per step, and one for the scenario itself where no step has its result.
func scenarioCases(v reach.Verdict) []TestCase {
	if v.Result == reach.Skipped {
		return []TestCase{{Class: v.Scenario, Name: "scenario", Result: v.Result, Message: skipReason(v)}}
	}
	var cases []TestCase
	found := false
	for _, s := range v.Steps {
		found = found || s.Result == v.Result
		c := TestCase{Class: v.Scenario, Name: s.Name, Elapsed: s.Elapsed, Result: s.Result}
		switch s.Result {
		case reach.Pass:
			c.Out = stepText(s)
		case reach.Skipped:
			c.Message = cmp.Or(s.Why, "no reason was given")
		default:
			c.Message, c.Text = stepWhy(s), stepText(s)
		}
		cases = append(cases, c)
	}
	if !found {
		cases = append(cases, TestCase{Class: v.Scenario, Name: "scenario", Elapsed: v.Elapsed, Result: v.Result,
			Message: resultWord(v.Result) + ", although no step is"})
	}
	return cases
}

// stepText is the step as the terminal shows it, without marks that a viewer may not have.
func stepText(s reach.Step) string {
	p := newPrinter(Style{Plain: true, Width: 120})
	p.stepBody(0, s)
	return strings.TrimLeft(strings.Map(xmlRune, p.buf.String()), "\n")
}

// xmlRune replaces characters that XML cannot contain, even escaped: errors quote what a broken server sent.
func xmlRune(r rune) rune {
	if r == '\n' || r == '\t' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 {
		return r
	}
	return 0xFFFD
}

func properties(run Run) []junitProperty {
	c := run.Cluster
	t := run.Totals()
	return slices.DeleteFunc([]junitProperty{
		{"tool.version", run.Version},
		{"cluster.name", c.Name},
		{"cluster.kubernetes", c.Kubernetes},
		{"cluster.proxyMode", c.ProxyMode},
		{"cluster.proxy", c.Proxy},
		{"cluster.coreDNS", c.CoreDNS},
		{"cluster.families", strings.Join(c.Families, ",")},
		{"cluster.nodes", c.nodeNames(",")},
		{"cluster.provider", c.Provider},
		{"cluster.engine", c.Engine},
		{"run.result", string(run.Result())},
		{"run.scenarios", scenarioCounts(t)},
		{"run.cells", cellCounts(t.Cells)},
		{"run.probes", fmt.Sprint(t.Probes)},
	}, func(f junitProperty) bool { return f.Value == "" })
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
