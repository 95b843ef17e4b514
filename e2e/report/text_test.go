package report

import (
	"io"
	"testing"
)

func TestGolden(t *testing.T) {
	text := func(run Run, style Style) func(io.Writer) error {
		return func(w io.Writer) error { return Text(w, run, style) }
	}
	as := func(run Run, render func(io.Writer, Run) error) func(io.Writer) error {
		return func(w io.Writer) error { return render(w, run) }
	}
	for file, render := range map[string]func(io.Writer) error{
		"passing.txt":       text(passing(), Style{}),
		"mixed.txt":         text(mixed(), Style{}),
		"mixed-plain.txt":   text(mixed(), Style{Plain: true, Width: 100}),
		"mixed-color.txt":   text(mixed(), Style{Color: true, Width: 120}),
		"mixed-verbose.txt": text(mixed(), Style{Verbose: true, Width: 120}),
		"passing.json":      as(passing(), JSON),
		"mixed.xml":         as(mixed(), JUnit),
		"passing.md":        as(passing(), Markdown),
		"mixed.md":          as(mixed(), Markdown),
		"mixed.html":        as(mixed(), HTML),
		"mixed.svg": func(w io.Writer) error {
			return SVG(w, mixed(), "nodeport-every-node/probe port 30080 of every node")
		},
	} {
		t.Run(file, func(t *testing.T) { golden(t, file, render) })
	}
}
