package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
)

func pageOf(t *testing.T, run Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, run); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// element is a start tag with its attributes.
type element struct {
	name string
	attr map[string]string
}

// elements are the page's start tags; it fails when one is not closed where it should be.
func elements(t *testing.T, page string) []element {
	t.Helper()
	dec := xml.NewDecoder(strings.NewReader(page))
	dec.Strict = false
	dec.AutoClose = append(xml.HTMLAutoClose, "wbr")
	dec.Entity = xml.HTMLEntity
	var out []element
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("the page is not well-formed: %v", err)
		}
		if e, ok := token.(xml.StartElement); ok {
			x := element{name: e.Name.Local, attr: map[string]string{}}
			for _, a := range e.Attr {
				x.attr[a.Name.Local] = a.Value
			}
			out = append(out, x)
		}
	}
}

func TestPageStandsAlone(t *testing.T) {
	page := pageOf(t, mixed())
	for _, e := range elements(t, page) {
		if e.name == "script" || e.name == "img" || e.name == "iframe" {
			t.Errorf("<%s> in the page", e.name)
		}
		if e.name == "link" && e.attr["href"] != "data:," || e.attr["src"] != "" {
			t.Errorf("<%s> loads %s%s", e.name, e.attr["href"], e.attr["src"])
		}
		for a := range e.attr {
			if strings.HasPrefix(a, "on") {
				t.Errorf("<%s> has a handler %s", e.name, a)
			}
		}
	}
	if at := regexp.MustCompile(`@import|url\(`).FindString(page); at != "" {
		t.Errorf("the style loads something: %s", at)
	}
	if strings.Contains(page, "ZgotmplZ") {
		t.Error("the template refused a value")
	}
}

func TestPageIsAccessible(t *testing.T) {
	ids, refs := map[string]int{}, []string{}
	count := map[string]int{}
	for _, e := range elements(t, pageOf(t, mixed())) {
		count[e.name]++
		switch {
		case e.name == "html" && e.attr["lang"] != "en":
			t.Error("the page does not say its language")
		case e.name == "th" && e.attr["scope"] == "":
			t.Error("a <th> without scope")
		case e.name == "td" && e.attr["class"] != "" && (e.attr["tabindex"] != "0" || e.attr["aria-describedby"] == ""):
			t.Errorf("a cell that the keyboard does not reach or that says nothing: %v", e.attr)
		}
		if id := e.attr["id"]; id != "" {
			ids[id]++
		}
		if ref := e.attr["aria-describedby"]; ref != "" {
			refs = append(refs, ref)
		}
		if href, ok := strings.CutPrefix(e.attr["href"], "#"); ok {
			refs = append(refs, href)
		}
	}
	if count["caption"] != count["table"] || count["table"] != 5 || count["h1"] != 1 {
		t.Errorf("tables, captions, headings: %v", count)
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("id %s is there %d times", id, n)
		}
	}
	for _, ref := range refs {
		if ids[ref] == 0 {
			t.Errorf("nothing has the id %s", ref)
		}
	}
}

// The colour is never the only sign: what is not as expected has a mark and words.
func TestPageMarksCells(t *testing.T) {
	table := newPageTable("t1", unsure().Steps[0].Tables[0], "probe")
	cells := table.Rows[1].Cells
	for i, want := range []pageCell{{Class: "reached", Mark: "✓", Word: "2 pods"}, {Class: "unsure", Mark: "?", Word: "no probe"}} {
		if got := cells[i]; got.Class != want.Class || got.Mark != want.Mark || got.Word != want.Word {
			t.Errorf("got %s %q %q, want %s %q %q", got.Class, got.Mark, got.Word, want.Class, want.Mark, want.Word)
		}
	}
	if last := cells[6]; last.Class != "unprobed" || last.Mark != "–" || last.State != "not probed" || !strings.Contains(last.Terms[0].Text, "leave the machine") {
		t.Errorf("a cell that was not probed: %+v", last)
	}
}

func TestPageEscapes(t *testing.T) {
	v := single("nasty", reach.Refused, false)
	v.Title, v.Steps[0].Why = "<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`
	v.Steps[0].Tables[0].Cells[0].Oracle.Doc = "javascript:alert(1)"
	v.Steps[0].Tables[0].Cells[0].Cell.Repeat = "curl 'http://[fd00::1]:80/' <&>"
	page := pageOf(t, runOf(v))
	for _, e := range elements(t, page) {
		if e.name == "script" || e.name == "img" || strings.HasPrefix(e.attr["href"], "javascript") {
			t.Errorf("<%s %v> came through", e.name, e.attr)
		}
	}
	if !strings.Contains(page, "curl &#39;http://[fd00::1]:80/&#39; &lt;&amp;&gt;") {
		t.Error("the command is not there as it is to be pasted")
	}
}
