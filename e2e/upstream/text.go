package upstream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// Text prints the comparison: upstream's specs, the behaviours that each side covers, and the totals.
func Text(w io.Writer, c Comparison) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "\nUpstream's specs of Services, Kubernetes %s, on cluster %s (%s, kube-proxy %s)\n\n", c.Upstream.Version, c.Cluster.Name,
		c.Cluster.Kubernetes, c.Cluster.ProxyMode)
	for _, s := range c.Upstream.Specs {
		fmt.Fprintf(&out, "  %s %7s  %s\n", mark(s.Result), seconds(s.Elapsed), Short(s.Name))
		if s.Why != "" {
			fmt.Fprintf(&out, "             %s\n", s.Why)
		}
	}
	out.WriteString("\n")
	c.rows(&out)
	c.totals(&out)
	if _, err := w.Write(out.Bytes()); err != nil {
		return fmt.Errorf("print the comparison: %w", err)
	}
	return nil
}

// rows prints a table of behaviours.
func (c Comparison) rows(out *bytes.Buffer) {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	line := func(cells ...string) { fmt.Fprintln(table, "  "+strings.TrimRight(strings.Join(cells, "\t"), "\t")) }
	head := []string{"behaviour", "upstream"}
	if c.Ours != nil {
		head = append(head, "svclab")
	}
	line(head...)
	for _, row := range c.Behaviours {
		cells := []string{row.ID, row.Theirs.text(specs(len(row.Theirs.Names)))}
		if c.Ours != nil {
			cells = append(cells, row.Ours.text(strings.Join(row.Ours.Names, ", ")))
		}
		line(cells...)
	}
	for _, s := range c.Upstream.Specs {
		if s.Else == "" {
			continue
		}
		line("–", mark(s.Result)+" "+seconds(s.Elapsed)+" 1 spec: "+s.Else)
	}
	_ = table.Flush() // to a buffer, which takes all
}

// text says how the side did on a behaviour, and with what.
func (s Side) text(with string) string {
	if !s.Covered() {
		return "–"
	}
	return mark(s.Result) + " " + seconds(s.Elapsed) + " " + with
}

func specs(n int) string {
	if n == 1 {
		return "1 spec"
	}
	return fmt.Sprintf("%d specs", n)
}

func (c Comparison) totals(out *bytes.Buffer) {
	theirs, ours := c.covered()
	all := len(c.Behaviours)
	sum := time.Duration(0)
	for _, s := range c.Upstream.Specs {
		sum += s.Elapsed
	}
	fmt.Fprintf(out, "\n  upstream   %d of %d behaviours; %s: %d passed, %d not; %s with %d processes, %s of specs\n",
		theirs, all, specs(len(c.Upstream.Specs)), c.Upstream.Passed(), len(c.Upstream.Specs)-c.Upstream.Passed(),
		seconds(c.Upstream.Elapsed), c.Upstream.Processes, seconds(sum))
	if c.Ours != nil {
		fmt.Fprintf(out, "  svclab     %d of %d behaviours; %d scenarios: %d passed, %d not, %d skipped; %s, %d probes\n",
			ours, all, c.Ours.Planned, c.Ours.Passed, c.Ours.Failed, c.Ours.Skipped, seconds(c.Ours.Elapsed), c.Ours.Probes)
	}
	out.WriteString("  The time of a spec or scenario about several behaviours counts completely for each.\n")
}

func mark(r reach.Result) string {
	switch r {
	case reach.Pass:
		return "✓"
	case reach.Fail:
		return "✗"
	case reach.Skipped:
		return "–"
	}
	return "?"
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// JSON writes the comparison.
func JSON(w io.Writer, c Comparison) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(c); err != nil {
		return fmt.Errorf("write the comparison: %w", err)
	}
	return nil
}
