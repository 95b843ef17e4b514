package report

import (
	"encoding/xml"
	"fmt"
	"io"
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
	Timestamp  string          `xml:"timestamp,attr"`
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

// junitText is left readable in the file itself: many look at it with a pager.
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
	suite := junitSuite{Name: orDefault(run.Tool, "svclab"), Time: seconds(run.Elapsed),
		Timestamp: run.Started.UTC().Format("2006-01-02T15:04:05"), Properties: properties(run), Cases: junitCases(run)}
	for _, c := range suite.Cases {
		suite.Tests++
		switch {
		case c.Failure != nil:
			suite.Failures++
		case c.Error != nil:
			suite.Errors++
		case c.Skipped != nil:
			suite.Skipped++
		}
	}
	root := junitSuites{Name: suite.Name, Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors,
		Time: suite.Time, Suites: []junitSuite{suite}}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(root); err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	return nil
}

func junitCases(run Run) []junitCase {
	var cases []junitCase
	if run.Conformance != nil {
		cases = junitBehaviours(*run.Conformance)
	}
	told := map[string]bool{}
	for _, v := range run.Verdicts {
		told[v.Scenario] = true
		cases = append(cases, scenarioCases(v)...)
	}
	for _, s := range run.Skips() {
		if !told[s.Scenario] {
			cases = append(cases, junitCase{Class: s.Scenario, Name: "scenario", Time: seconds(0), Skipped: &junitSkip{Message: s.Reason}})
		}
	}
	for _, name := range run.Lost() {
		cases = append(cases, junitCase{Class: name, Name: "scenario", Time: seconds(0),
			Error: &junitDetail{Type: string(reach.Inconclusive), Message: "planned, but the run ended without it"}})
	}
	if run.Totals().Run == 0 {
		cases = append(cases, junitCase{Class: orDefault(run.Tool, "svclab"), Name: "at least one scenario runs", Time: seconds(0),
			Failure: &junitDetail{Type: string(reach.Fail), Message: "no scenario ran, and a run that verified nothing is no pass"}})
	}
	return cases
}

// scenarioCases are one case per step, and one for the scenario itself where its result is no step's.
func scenarioCases(v reach.Verdict) []junitCase {
	if v.Result == reach.Skipped {
		return []junitCase{{Class: v.Scenario, Name: "scenario", Time: seconds(0), Skipped: &junitSkip{Message: skipReason(v)}}}
	}
	var cases []junitCase
	told := false
	for _, s := range v.Steps {
		told = told || s.Result == v.Result
		c := junitCase{Class: v.Scenario, Name: s.Name, Time: seconds(s.Elapsed)}
		text := stepText(s)
		switch s.Result {
		case reach.Pass:
			if text != "" {
				c.Out = &junitText{Text: text}
			}
		case reach.Fail:
			c.Failure = &junitDetail{Message: stepWhy(s), Type: string(s.Result), Text: text}
		case reach.Skipped:
			c.Skipped = &junitSkip{Message: orDefault(s.Why, "no reason was given")}
		default:
			c.Error = &junitDetail{Message: stepWhy(s), Type: string(s.Result), Text: text}
		}
		cases = append(cases, c)
	}
	if told {
		return cases
	}
	whole := junitCase{Class: v.Scenario, Name: "scenario", Time: seconds(v.Elapsed)}
	detail := &junitDetail{Type: string(v.Result), Message: resultWord(v.Result) + " as a whole, although no step says so"}
	switch v.Result {
	case reach.Fail:
		whole.Failure = detail
	case reach.Inconclusive:
		whole.Error = detail
	}
	return append(cases, whole)
}

// stepText is the step as the terminal shows it, without marks that a viewer may not have.
func stepText(s reach.Step) string {
	p := newPrinter(Style{Plain: true, Width: 120})
	p.stepBody(0, s)
	return strings.TrimLeft(strings.Map(xmlRune, p.buf.String()), "\n")
}

// xmlRune replaces what XML cannot hold, even escaped: errors quote whatever a broken server sent.
func xmlRune(r rune) rune {
	if r == '\n' || r == '\t' || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 {
		return r
	}
	return 0xFFFD
}

func properties(run Run) []junitProperty {
	c := run.Cluster
	var nodes []string
	for _, n := range c.Nodes {
		nodes = append(nodes, n.Name)
	}
	t := run.Totals()
	var out []junitProperty
	for _, f := range []junitProperty{
		{"tool.version", run.Version},
		{"cluster.name", c.Name},
		{"cluster.kubernetes", c.Kubernetes},
		{"cluster.proxyMode", c.ProxyMode},
		{"cluster.families", strings.Join(c.Families, ",")},
		{"cluster.nodes", strings.Join(nodes, ",")},
		{"cluster.provider", c.Provider},
		{"cluster.engine", c.Engine},
		{"run.result", string(run.Result())},
		{"run.scenarios", scenarioCounts(t)},
		{"run.cells", cellCounts(t.Cells)},
		{"run.probes", fmt.Sprint(t.Probes)},
	} {
		if f.Value != "" {
			out = append(out, f)
		}
	}
	return out
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
