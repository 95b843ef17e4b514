package scenario

import (
	"errors"
	"fmt"
	"strings"
)

// Words splits a command as a POSIX shell does, without running one: blanks separate, quotes and
// backslashes protect, a backslash at a line's end joins it to the next. What only a shell can do (pipes,
// variables, globs, redirections) is refused rather than passed on as text.
func Words(command string) ([]string, error) {
	var (
		words   []string
		word    strings.Builder
		started bool
		quote   rune
		escaped bool
	)
	for _, r := range command {
		switch {
		case escaped:
			escaped = false
			switch {
			case r == '\n' && quote == 0: // joined lines
			case quote == '"' && !strings.ContainsRune("\"\\$`\n", r):
				word.WriteRune('\\')
				word.WriteRune(r)
			default:
				word.WriteRune(r)
				started = true
			}
		case r == '\\' && quote != '\'':
			escaped = true
		case quote != 0 && r == quote:
			quote = 0
		case quote == '"' && strings.ContainsRune("$`", r), quote == 0 && strings.ContainsRune("|&;<>$`*?()#", r):
			return nil, fmt.Errorf("command has %q, which needs a shell: quote it in single quotes or leave it out", r)
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, started = r, true
		case strings.ContainsRune(" \t\n", r):
			if started {
				words = append(words, word.String())
			}
			word.Reset()
			started = false
		default:
			word.WriteRune(r)
			started = true
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("command ends within a quotation or after a backslash")
	}
	if started {
		words = append(words, word.String())
	}
	return words, nil
}
