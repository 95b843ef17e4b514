package migrate

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
)

// few is how many Services a group names, and how many Programs are printed, unless all are wanted.
const few = 8

// Text prints a report in lines of at most width columns. all: every Service and every cell.
func (r Report) Text(w io.Writer, width int, all bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "from %s to %s: %s\n", r.From, r.To, r.summary())
	last := true
	for i, g := range r.Groups {
		if last && !g.Declared {
			fmt.Fprintln(&b, "\nat ports and addresses that no Service declares (not counted above):")
		}
		last = g.Declared
		g.text(&b, i+1, width, all)
	}
	findings(&b, "\nnodes:", r.Nodes, width, all)
	findings(&b, "\nprograms that may read or write packet rules on the nodes:", r.Programs, width, all)
	if len(r.Unknown) > 0 {
		fmt.Fprintln(&b, "\nno object says:")
		for _, text := range r.Unknown {
			paragraph(&b, "  - ", text, width)
		}
	}
	if _, err := io.WriteString(w, report.Printable(b.String())); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// summary is the result in one sentence.
func (r Report) summary() string {
	same := r.Services - len(r.Changed)
	if len(r.Changed) == 0 {
		return fmt.Sprintf("nothing changes for any of %s", count(r.Services, "Service"))
	}
	return fmt.Sprintf("nothing changes for %d of %s, something changes for %d", same, count(r.Services, "Service"), len(r.Changed))
}

func (g Group) text(b *strings.Builder, n, width int, all bool) {
	fmt.Fprintf(b, "\n%d. %s: %s\n", n, g.Title, g.Effect)
	for _, f := range g.Forms {
		example := ""
		if g.Effect == Source {
			example = "for example, "
		}
		paragraph(b, "   change    ", fmt.Sprintf("%s%s → %s, for %s", example, f.Before, f.After, strings.Join(f.Clients, ", ")), width)
	}
	if len(g.Services) > 0 {
		names, more := g.Services, ""
		if len(names) > few && !all {
			more = fmt.Sprintf(", and %d more (--verbose prints all)", len(names)-few)
			names = names[:few]
		}
		paragraph(b, "   services  ", fmt.Sprintf("%d: %s%s", len(g.Services), strings.Join(names, ", "), more), width)
	}
	paragraph(b, "   why       ", fmt.Sprintf("for example, %s [%s; %s]", g.Why, rules(g.Rules), g.Doc), width)
	if g.Do != "" {
		paragraph(b, "   do        ", g.Do, width)
	}
	if all {
		for _, c := range g.Changes {
			fmt.Fprintf(b, "   cell      %s to %s %s:%d/%s: %s → %s\n", c.Vantage.Name, c.Target.Kind, c.Target.Host, c.Target.Port, c.Target.Protocol, answer(c.Before), answer(c.After))
		}
	}
}

// answer is what is observed, by whom it is answered, and from where it is seen.
func answer(p reach.Prediction) string {
	text := observed(p)
	if p.Allows(reach.Reached) {
		if len(p.Backends) > 0 {
			text += " by " + strings.Join(p.Backends, ", ")
		}
		text += ", " + seen(p)
	}
	return text
}

func rules(pair [2]string) string {
	if pair[0] == pair[1] {
		return pair[0]
	}
	return pair[0] + " → " + pair[1]
}

func findings(b *strings.Builder, head string, list []Finding, width int, all bool) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(b, head)
	// what blocks comes first
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(x, y Finding) int {
		switch {
		case x.Blocks == y.Blocks:
			return 0
		case x.Blocks:
			return -1
		}
		return 1
	})
	for i, f := range list {
		if i == few && !all {
			fmt.Fprintf(b, "  - and %d more (--verbose prints all)\n", len(list)-few)
			return
		}
		text := f.What + " " + f.Why
		if f.Do != "" {
			text += ": " + f.Do
		}
		if f.Doc != "" {
			text += " [" + f.Doc + "]"
		}
		paragraph(b, "  - ", text, width)
	}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// paragraph prints text after a label, in lines of at most width columns.
func paragraph(b *strings.Builder, label, text string, width int) {
	for _, line := range report.Wrap(strings.Join(strings.Fields(text), " "), width-len(label)) {
		b.WriteString(label + line + "\n")
		label = strings.Repeat(" ", len(label))
	}
}
