package course

import (
	"fmt"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/steps"
)

// Quote is a command that a text shows with what it prints.
type Quote struct {
	// Message is where it stands; State is when it is true: "start", "solved", or the name of a wrong answer.
	Message, State string
	// Command is a kubectl command; Output what it prints, line by line. "…" stands for any text.
	Command string
	Output  []string
	// Exit is the exit code; 0 unless the block's info string says exit=1.
	Exit int
}

// Run is the quote as a step of a scenario. Output is compared by Matches.
func (q Quote) Run() steps.Run { return steps.Run{Command: q.Command, Exit: q.Exit} }

// quotes finds the blocks "```console STATE" of a text: lines that begin with "$ " are commands, the lines after each what
// it prints. A block "```console example" is not executed, and must not show output.
func quotes(t Text) ([]Quote, error) {
	var found []Quote
	for _, id := range t.order {
		var (
			state  string
			inside bool
			last   *Quote
			exit   int
		)
		for _, line := range strings.Split(t.Messages[id], "\n") {
			info, isFence := strings.CutPrefix(line, "```")
			switch {
			case isFence && inside:
				inside, last = false, nil
			case isFence:
				words := strings.Fields(info)
				if len(words) == 0 || words[0] != "console" {
					if slices.Contains(words, "yaml") || slices.Contains(words, "text") {
						state, inside = "", true
						continue
					}
					return nil, fmt.Errorf("message %s: block %q: want console STATE, yaml or text", id, line)
				}
				if len(words) < 2 {
					return nil, fmt.Errorf("message %s: a console block says when it is true: start, solved, a wrong answer's name, or example", id)
				}
				state, inside, exit = words[1], true, 0
				if len(words) > 2 {
					if _, err := fmt.Sscanf(words[2], "exit=%d", &exit); err != nil {
						return nil, fmt.Errorf("message %s: block %q: want exit=CODE", id, line)
					}
				}
			case !inside || state == "" || state == "example":
			case strings.HasPrefix(line, "$ "):
				found = append(found, Quote{Message: id, State: state, Command: strings.TrimPrefix(line, "$ "), Exit: exit})
				last = &found[len(found)-1]
			case last == nil:
				return nil, fmt.Errorf("message %s: a console block begins with \"$ COMMAND\"", id)
			case strings.HasSuffix(last.Command, "\\"):
				last.Command += "\n" + line
			default:
				last.Output = append(last.Output, line)
			}
		}
	}
	return found, nil
}

// Quotes are the commands that the English text shows; the other languages show the same.
func (e Exercise) Quotes() ([]Quote, error) {
	found, err := quotes(e.Texts[English])
	for i := range found {
		found[i].Command = e.values.Fill(found[i].Command)
		for n, line := range found[i].Output {
			found[i].Output[n] = e.values.Fill(line)
		}
	}
	return found, err
}

// Matches reports whether a line that a text quotes is the line that was printed: "…" stands for any text, and any
// number of blanks for any other.
func Matches(quoted, printed string) bool {
	quoted, printed = strings.Join(strings.Fields(quoted), " "), strings.Join(strings.Fields(printed), " ")
	parts := strings.Split(quoted, "…")
	if len(parts) == 1 {
		return quoted == printed
	}
	rest, ok := strings.CutPrefix(printed, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// Differ says which line of the quote was not printed where it stands; empty: all were, and nothing else.
func (q Quote) Differ(printed string) string {
	var lines []string
	for _, line := range strings.Split(printed, "\n") {
		if strings.TrimSpace(line) != "" {
			lines = append(lines, line)
		}
	}
	var want []string
	for _, line := range q.Output {
		if strings.TrimSpace(line) != "" {
			want = append(want, line)
		}
	}
	at := 0
	for i, line := range want {
		if strings.TrimSpace(line) == "…" { // any lines
			if i == len(want)-1 {
				return ""
			}
			next := slices.IndexFunc(lines[at:], func(l string) bool { return Matches(want[i+1], l) })
			if next < 0 {
				return fmt.Sprintf("%q is quoted, and was not printed", want[i+1])
			}
			at += next
			continue
		}
		if at >= len(lines) || !Matches(line, lines[at]) {
			got := "nothing more"
			if at < len(lines) {
				got = lines[at]
			}
			return fmt.Sprintf("%q is quoted, and %q was printed", line, got)
		}
		at++
	}
	if at < len(lines) {
		return fmt.Sprintf("%q was printed, and is not quoted", lines[at])
	}
	return ""
}
