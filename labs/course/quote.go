package course

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/steps"
)

// Quote is a command in a text, with the output that the text shows.
type Quote struct {
	// Message is the ID of the message that has it. State says when the output is right: "start", "solved", or the name of a wrong
	// answer.
	Message, State string
	// Command is a kubectl command. Output are the lines that it prints: see Differ.
	Command string
	Output  []string
	// Exit is the exit code; 0 unless the block's info string says exit=1.
	Exit int
}

// Run returns the command as a step of a scenario. The caller compares the output by Differ.
func (q Quote) Run() steps.Run { return steps.Run{Command: q.Command, Exit: q.Exit} }

// quotes returns the commands in the blocks "```console STATE" of a text. A line that begins with "$ " is a command, and the lines
// after it are its output. The commands of a block "```console example" are left out, because they are not executed.
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
					return nil, fmt.Errorf("message %s: a console block names the state in which its output is right: start, solved, a wrong answer's name, or example", id)
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

// Quotes returns the commands in the English text with the placeholders replaced. Texts in other languages have the same ones.
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

// Matches reports whether a line that was printed is the quoted one. "…" in the quoted line matches any text, and the number of
// blanks between words does not count.
func Matches(quoted, printed string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(words(quoted)), "…", ".*")
	return regexp.MustCompile("^" + pattern + "$").MatchString(words(printed))
}

// words returns a text with one blank between its words.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

// Differ returns the first difference between the quoted output and what was printed, or "". Empty lines do not
// count. A line that is only "…" matches any number of lines.
func (q Quote) Differ(printed string) string {
	isBlank := func(line string) bool { return words(line) == "" }
	lines := slices.DeleteFunc(strings.Split(printed, "\n"), isBlank)
	want := slices.DeleteFunc(slices.Clone(q.Output), isBlank)
	at := 0
	for i, line := range want {
		if words(line) == "…" {
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
		if at >= len(lines) {
			return fmt.Sprintf("%q is quoted, and nothing more was printed", line)
		}
		if !Matches(line, lines[at]) {
			return fmt.Sprintf("%q is quoted, and %q was printed", line, lines[at])
		}
		at++
	}
	if at < len(lines) {
		return fmt.Sprintf("%q was printed, and is not quoted", lines[at])
	}
	return ""
}
