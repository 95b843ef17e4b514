package report

import (
	"bytes"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/svclab/svclab/e2e/reach"
)

// hostile would set the terminal's title, conceal what follows, and reverse it.
const hostile = "\x1b]0;owned\a\x1b[8m\u009b2J\u202e\x7f"

// poison appends hostile to every text of a value that is not one of a fixed set of words.
func poison(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			poison(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				poison(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			poison(v.Index(i))
		}
	case reflect.String:
		if v.CanSet() && v.Type() == reflect.TypeFor[string]() {
			v.SetString(v.String() + hostile)
		}
	}
}

// No text of a run can control the terminal, whatever it is printed as.
func TestNothingControlsTheTerminal(t *testing.T) {
	run := mixed()
	run.Conformance = &Conformance{Profile: "core", Behaviours: []BehaviourResult{{ID: "a", Text: "b", Result: reach.Fail, Reasons: []string{"c"}}},
		Features: []Feature{{Name: "d", Detail: "e"}}}
	other := mixed()
	poison(reflect.ValueOf(&run))
	poison(reflect.ValueOf(&other.Verdicts[0]))
	for name, render := range map[string]func(io.Writer, Style) error{
		"text":        func(w io.Writer, s Style) error { return Text(w, run, s) },
		"conformance": func(w io.Writer, s Style) error { return ConformanceText(w, run, s) },
		"matrix":      func(w io.Writer, s Style) error { return Matrix(w, []Column{{Head: "h" + hostile, Run: run}}, s) },
		"diff":        func(w io.Writer, s Style) error { return Diff(run, other).Text(w, s) },
	} {
		for _, style := range []Style{{}, {Verbose: true}, {Plain: true}, {Color: true}} {
			var out bytes.Buffer
			if err := render(&out, style); err != nil {
				t.Fatal(err)
			}
			text := out.String()
			for _, ink := range []ink{inkGood, inkBad, inkWarn, inkDim, inkBold, "0"} {
				text = strings.ReplaceAll(text, "\x1b["+string(ink)+"m", "")
			}
			if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && unicode.IsControl(r) || r == '\u202e' }); i >= 0 {
				t.Errorf("%s, %+v: %q", name, style, text[max(0, i-60):min(len(text), i+20)])
			}
			if !strings.Contains(text, "owned") {
				t.Errorf("%s, %+v: the test is no test", name, style)
			}
		}
	}
}
