package explain

import (
	"fmt"
	"io"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
)

// Nothing is printed for a Service without a cause.
const Nothing = "no cause found: everything is as predicted"

// Text prints a finding in lines of at most width columns. It does not break commands. traffic is the worst result of
// the table's cells, Skipped if none was probed; only with Pass, Text says that all is well.
func Text(w io.Writer, f Finding, width int, traffic reach.Result) error {
	var b strings.Builder
	for i, c := range f.Causes {
		head := "cause"
		if len(f.Causes) > 1 {
			head = fmt.Sprintf("cause %d of %d", i+1, len(f.Causes))
		}
		fmt.Fprintf(&b, "%s: %s\n", head, c.ID)
		paragraph(&b, "  ", c.Sentence, width)
		paragraph(&b, "  change  ", c.Field, width)
		fmt.Fprintf(&b, "  try     %s\n", c.Command)
		fmt.Fprintf(&b, "  see     %s\n", c.Doc)
		if i == 0 && f.Where != "" {
			paragraph(&b, "  hop     ", f.Where, width)
		}
		b.WriteByte('\n')
	}
	if len(f.Causes) == 0 && f.Where != "" {
		paragraph(&b, "hop: ", f.Where, width)
	}
	switch {
	case len(f.Causes) > 0:
	case traffic == reach.Pass:
		fmt.Fprintf(&b, "%s\n", Nothing)
	case traffic == reach.Inconclusive:
		fmt.Fprintln(&b, "no cause found, but some probes could not be sent: there is no verdict")
	default:
		fmt.Fprintln(&b, "no cause found in the objects; nothing was probed")
	}
	if len(f.Notes) > 0 {
		fmt.Fprintln(&b, "worth knowing, by design:")
		for _, c := range f.Notes {
			paragraph(&b, "  - ", fmt.Sprintf("%s [%s; %s]", c.Sentence, c.ID, c.Doc), width)
		}
	}
	for i, o := range f.Omitted {
		if i == 0 {
			fmt.Fprintln(&b, "not read or probed:")
		}
		paragraph(&b, "  - ", o.Sentence, width)
		if o.Command != "" {
			fmt.Fprintf(&b, "    try %s\n", o.Command)
		}
	}
	_, err := io.WriteString(w, report.Printable(strings.TrimRight(b.String(), "\n")+"\n"))
	if err != nil {
		return fmt.Errorf("write the explanation: %w", err)
	}
	return nil
}

// paragraph wraps a text between words, after a head and below it.
func paragraph(b *strings.Builder, head, text string, width int) {
	for _, line := range report.Wrap(strings.Join(strings.Fields(text), " "), width-len(head)) {
		b.WriteString(head + line + "\n")
		head = strings.Repeat(" ", len(head))
	}
}
