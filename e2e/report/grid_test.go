package report

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
)

// big is 8 vantages × 12 targets, no two columns alike.
func big() reach.Table {
	var targets []reach.Target
	for i, slot := range []string{"control-plane", "worker", "worker2"} {
		ip := fmt.Sprintf("172.18.0.%d", i+2)
		health := nodePort(slot, ip)
		health.Kind, health.Port = reach.HealthCheck, 32001
		undeclared := nodePort(slot, ip)
		undeclared.Port, undeclared.Undeclared = 30081, true
		targets = append(targets, nodePort(slot, ip), undeclared, health)
	}
	targets = append(targets, target(reach.ClusterIP, "10.96.14.7", 80), target(reach.LoadBalancer, "172.18.200.1", 80),
		target(reach.DNSName, "my-service.lab.svc.cluster.local", 80))
	n := 0
	return tableOf("", places(), targets, func(v reach.Vantage, _ reach.Target) (seen, reach.Prediction, *reach.Prediction) {
		n++
		if n%(len(targets)+1) == 0 {
			return refusals(), reaches("made up", "rule", nil, podA, podB), nil
		}
		return answers(v, "", podA, podB), reaches("made up", "rule", nil, podA, podB), nil
	})
}

func printed(t *testing.T, table reach.Table, style Style) string {
	t.Helper()
	var b bytes.Buffer
	if err := Table(&b, table, style); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestBigGrid(t *testing.T) {
	for _, style := range []Style{{Width: 120}, {Width: 100, Plain: true}} {
		name := fmt.Sprintf("big-%d.txt", style.Width)
		text := golden(t, name, func(w io.Writer) error { return Table(w, big(), style) })
		for _, v := range places() {
			_, slot := splitVantage(v.Name)
			if slot != "" && !strings.Contains(text, slot) {
				t.Errorf("%s: column %s is missing", name, v.Name)
			}
		}
	}
}

// No line is wider than the style says, except commands, which must stay in one piece.
func TestWidthIsKept(t *testing.T) {
	for _, columns := range []int{60, 80, 100, 110, 120, 200} {
		for _, plain := range []bool{false, true} {
			var b bytes.Buffer
			if err := Text(&b, mixed(), Style{Width: columns, Plain: plain}); err != nil {
				t.Fatal(err)
			}
			for _, l := range strings.Split(b.String(), "\n") {
				words := strings.Fields(l)
				if Width(l) > columns && !strings.Contains(l, "svclab probe") && len(words) > 1 {
					t.Errorf("width %d, plain %t: %d columns: %s", columns, plain, Width(l), l)
				}
			}
		}
	}
}

// In a grid every bar stands below the one above it, in terminal columns: Chinese text takes two a character.
func TestBarsAlign(t *testing.T) {
	for _, table := range []reach.Table{big(), wide().Steps[0].Tables[0], unsure().Steps[0].Tables[0]} {
		var bars []int
		for _, l := range strings.Split(printed(t, table, Style{Width: 120}), "\n") {
			var at []int
			for i, r := range l {
				if r == '│' || r == '┼' {
					at = append(at, Width(l[:i]))
				}
			}
			if len(at) == 0 {
				bars = nil
				continue
			}
			if bars != nil && !slices.Equal(bars, at) {
				t.Errorf("bars at %v, above at %v: %s", at, bars, l)
			}
			bars = at
		}
	}
}

func TestPlainIsASCII(t *testing.T) {
	for name, verdict := range map[string]reach.Verdict{"passing": clusterIP(), "failing": nodePorts(), "alias": external(), "unsure": unsure()} {
		for _, verbose := range []bool{false, true} {
			var b bytes.Buffer
			if err := Text(&b, runOf(verdict), Style{Plain: true, Color: true, Verbose: verbose}); err != nil {
				t.Fatal(err)
			}
			for _, r := range b.String() {
				if r > 126 || r < 32 && r != '\n' {
					t.Errorf("%s: %q in plain text", name, r)
					break
				}
			}
		}
	}
}

// Colour adds nothing but colour, and only on request.
func TestColorIsOnlyColor(t *testing.T) {
	render := func(style Style) string {
		var b bytes.Buffer
		if err := Text(&b, mixed(), style); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	bare, colored := render(Style{}), render(Style{Color: true})
	if strings.Contains(bare, "\x1b") {
		t.Error("an escape sequence without Color")
	}
	var lines []string
	for _, l := range strings.Split(regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(colored, ""), "\n") {
		lines = append(lines, strings.TrimRight(l, " "))
	}
	if stripped := strings.Join(lines, "\n"); stripped != bare {
		t.Errorf("without its colours the text is another: %s", firstDifference(stripped, bare))
	}
}

// Every cell's vantage and target can be found in the verbose text, and what was seen there.
func TestVerboseHasEveryCell(t *testing.T) {
	table := big()
	text := printed(t, table, Style{Width: 120, Verbose: true})
	for _, c := range table.Cells {
		head := "lab/my-service " + string(c.Cell.Target.Kind) + " " + place(c.Cell.Target, false, textPlace, "…") + " from " + c.Cell.Vantage.Name + ":"
		if strings.Count(text, head) != 1 {
			t.Errorf("%q is there %d times", head, strings.Count(text, head))
		}
	}
}

func TestWords(t *testing.T) {
	v := places()[0]
	cell := func(s seen, p reach.Prediction) reach.CellVerdict {
		return reach.Judge(reach.Cell{Vantage: v, Target: target(reach.ClusterIP, "10.96.0.1", 80), Observations: s}, p, nil)
	}
	both := reaches("", "", nil, podA, podB)
	for want, c := range map[string]reach.CellVerdict{
		"2 pods":     cell(answers(v, "", podA, podB), both),
		"1 pod":      cell(answers(v, "", podA), reaches("", "", nil, podA)),
		"1/2 pods":   cell(answers(v, "", podA), both),
		"wrong pod":  cell(answers(v, "", podA, podB, "stranger"), both),
		"answered":   cell(answers(v, "", ""), reaches("", "", nil)),
		"refused":    cell(refusals(), denied("", "", reach.Refused)),
		"timeout":    cell(timeouts(), both),
		"no route":   cell(failures(reach.Unreachable, "", 1), both),
		"no name":    cell(failures(reach.NoSuchHost, "", 1), both),
		"bad answer": cell(failures(reach.WrongAnswer, "", 1), both),
		"8/11 ok":    cell(append(answers(v, "", podA, podB), refusals()...), both),
		"mixed":      cell(append(timeouts(), refusals()...), denied("", "", reach.Refused, reach.TimedOut)),
		"no probe":   cell(failures(reach.ProbeFailed, "", 1), both),
		"":           cell(unprobed("why"), both),
		"source":     cell(answers(v, "192.0.2.1", podA), reaches("", "", []netip.Prefix{prefix("10.0.0.1")}, podA)),
	} {
		if got := word(c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if Width(want) > 10 {
			t.Errorf("%q is wider than a column", want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text        string
		first, rest int
		want        []string
	}{
		{"", 10, 10, []string{""}},
		{"one two three", 7, 5, []string{"one two", "three"}},
		{"  indented stays", 20, 20, []string{"  indented stays"}},
		{"a-word-that-is-too-long here", 5, 5, []string{"a-word-that-is-too-long", "here"}},
		{"line\nfeed", 20, 20, []string{"line", "feed"}},
		{"地址族都要能访问", 8, 8, []string{"地址族都", "要能访问"}},
		{"访问，然后再来。", 4, 4, []string{"访", "问，", "然后", "再", "来。"}},
		{"用 Service 名访问", 10, 10, []string{"用 Service", "名访问"}},
	} {
		if got := wrap(c.text, c.first, c.rest); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, s := range []string{"short", "ip-10-0-101-23.eu-central-1.compute.internal", "很长很长的节点名称一二三四五六七八九十"} {
		for columns := 6; columns < 30; columns++ {
			got := shorten(s, columns, "…")
			if Width(got) > columns {
				t.Errorf("%q in %d columns takes %d: %q", s, columns, Width(got), got)
			}
			if Width(s) > columns && (!strings.HasPrefix(s, got[:1]) || !strings.Contains(got, "…")) {
				t.Errorf("%q in %d columns: %q", s, columns, got)
			}
		}
	}
}

// A column stays as wide as it is, also where a name does not fit.
func TestWrapHard(t *testing.T) {
	for text, want := range map[string][]string{
		"":                    {""},
		"one two three":       {"one two", "three"},
		"one twothreefour":    {"one", "twothree", "four"},
		"Grüße → my-service:": {"Grüße →", "my-servi", "ce:"},
	} {
		if got := WrapHard(text, 8); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// Merged, equal nodes are one column and one row, so that the table of a lesson stays on the screen.
func TestGridMerges(t *testing.T) {
	table := reach.Table{Vantages: places(), Targets: []reach.Target{target(reach.ClusterIP, "10.96.0.9", 80),
		nodePort("control-plane", "172.18.0.2"), nodePort("worker", "172.18.0.3"), nodePort("worker2", "172.18.0.4")}}
	cells := func(odd reach.Outcome) reach.Table {
		table.Cells = nil
		for _, v := range table.Vantages {
			for i, to := range table.Targets {
				outcome := reach.Refused
				if v.Name == "outside" && i == 3 {
					outcome = odd
				}
				table.Cells = append(table.Cells, reach.CellVerdict{Result: reach.Fail, Cell: reach.Cell{Vantage: v, Target: to, Observations: []reach.Observation{{Outcome: outcome}}}})
			}
		}
		return table
	}
	for _, tc := range []struct {
		odd   reach.Outcome
		width int
		want  []string
	}{
		{reach.Refused, 80, []string{"clusterIP 10.96.0.9:80", "nodePort  3 nodes:30080"}},
		{reach.Refused, 110, []string{"clusterIP 10.96.0.9:80", "nodePort  control-plane, worker, worker2:30080"}},
		{reach.TimedOut, 110, []string{"clusterIP 10.96.0.9:80", "nodePort  control-plane, worker:30080", "nodePort  worker2 172.18.0.4:30080"}},
	} {
		want := tc.want
		var out strings.Builder
		if err := Grid(&out, cells(tc.odd), Style{Width: tc.width, Merge: true}); err != nil {
			t.Fatal(err)
		}
		_, rows, _ := strings.Cut(out.String(), "┼")
		var got []string
		for line := range strings.Lines(rows) {
			if label, cells, found := strings.Cut(line, " │"); found {
				got = append(got, strings.TrimSpace(label))
				if strings.Count(cells, "refused")+strings.Count(cells, "timeout") != 4 { // pod, node, outside, host
					t.Errorf("%s: %s", label, cells)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q in\n%s", got, want, out.String())
		}
	}
}
