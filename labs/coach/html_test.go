package coach

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/exercises"
)

func htmlOf(write func(p *Renderer)) string {
	var out bytes.Buffer
	p := Renderer{W: &out, Language: course.English, HTML: true}
	write(&p)
	if p.Done() != nil {
		return p.Done().Error()
	}
	return out.String()
}

func TestHTML(t *testing.T) {
	got := htmlOf(func(p *Renderer) {
		p.Head("Hint 1 of 3")
		p.Blank()
		p.Quiet(HintsLeft, 2)
		p.Field("Why:", "a < b & `c`")
		p.Raw("<b>")
		p.Markdown("One **two**\nthree `<x>`.\n\n- a\n  b\n- c\n\n1. d\n\n| h | i |\n|---|---|\n| j | **k** |\n\n```console start\n$ kubectl get <x>\nNAME\n```\nend")
	})
	want := `<h3>Hint 1 of 3</h3>
<p class="muted">Hints left: 2</p>
<p><span class="muted">Why:</span> a &lt; b &amp; <code>c</code></p>
<p>&lt;b&gt;</p>
<p>One <strong>two</strong> three <code>&lt;x&gt;</code>.</p>
<ul>
<li>a b</li>
<li>c</li>
</ul>
<ol>
<li>d</li>
</ol>
<div class="scroll" tabindex="0"><table>
<tr><th>h</th><th>i</th></tr>
<tr><td>j</td><td><strong>k</strong></td></tr>
</table></div>
<pre tabindex="0"><code><b><span class="prompt">$ </span>kubectl get &lt;x&gt;</b>
NAME</code></pre>
<p>end</p>
`
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

// Every text of the course becomes elements that are closed in order.
func TestEveryTextIsWellFormedHTML(t *testing.T) {
	files, err := fs.Glob(exercises.FS(), "*/text.*.md")
	if err != nil {
		t.Fatal(err)
	}
	words, err := fs.Glob(exercises.FS(), "words.*.md")
	if err != nil || len(files) < 50 || len(words) != 2 {
		t.Fatalf("%d texts, %v", len(files), err)
	}
	for _, name := range append(files, words...) {
		data, err := fs.ReadFile(exercises.FS(), name)
		if err != nil {
			t.Fatal(err)
		}
		wellFormed(t, name, htmlOf(func(p *Renderer) { p.Markdown(string(data)) }))
	}
}

func wellFormed(t *testing.T, name, text string) {
	t.Helper()
	var open []string
	for z := html.NewTokenizer(strings.NewReader(text)); ; {
		kind := z.Next()
		tag, _ := z.TagName()
		switch kind {
		case html.ErrorToken:
			if len(open) > 0 {
				t.Errorf("%s: %v are not closed", name, open)
			}
			return
		case html.StartTagToken:
			if s := string(tag); s != "wbr" {
				open = append(open, s)
			}
		case html.EndTagToken:
			if n := len(open); n == 0 || open[n-1] != string(tag) {
				t.Errorf("%s: </%s> closes %v", name, tag, open)
				return
			}
			open = open[:len(open)-1]
		}
	}
}

// A table says the same words as on a terminal, and what the cluster has in it cannot become an element.
func TestHTMLGrid(t *testing.T) {
	target := reach.Target{Kind: reach.ClusterIP, Service: "learn/<i>", Host: "10.96.0.9", Port: 80, Protocol: reach.TCP}
	table := reach.Table{Title: "a", Targets: []reach.Target{target}}
	for _, name := range []string{"pod/worker", "pod/worker2", "outside"} {
		v := reach.Vantage{Name: name, Kind: reach.Pod}
		table.Vantages = append(table.Vantages, v)
		table.Cells = append(table.Cells, reach.CellVerdict{Result: reach.Fail, Cell: reach.Cell{Vantage: v, Target: target, Observations: []reach.Observation{{Outcome: reach.Refused}}}})
	}
	got := htmlOf(func(p *Renderer) { p.Grid(table) })
	wellFormed(t, "grid", got)
	for _, part := range []string{`colspan="2">pod<`, `<th scope="col">worker2</th>`, "learn/&lt;i&gt;", `<td class="differ">✗ refused</td>`} {
		if !strings.Contains(got, part) {
			t.Errorf("%s is missing from\n%s", part, got)
		}
	}
}
