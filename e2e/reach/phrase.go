package reach

import "fmt"

// Phrase is a text with the arguments that it was made of, so that it can be said in another language too. Its String is the
// English text.
type Phrase struct {
	// Format has the verbs of fmt.Sprintf. It identifies the phrase among the translations. Empty: there is no phrase.
	Format string
	// Args may be phrases themselves.
	Args []any
}

// Say makes a phrase. It becomes a text only where one is needed: the arguments must not change.
func Say(format string, args ...any) Phrase { return Phrase{Format: format, Args: args} }

// String returns the English text.
func (p Phrase) String() string { return fmt.Sprintf(p.Format, p.Args...) }

// In returns the phrase by the formats of another language, which have the same arguments. A format that it lacks is said in
// English.
func (p Phrase) In(formats map[string]string) string {
	format, known := formats[p.Format]
	if !known {
		format = p.Format
	}
	args := make([]any, len(p.Args))
	for i, arg := range p.Args {
		args[i] = arg
		if inner, is := arg.(Phrase); is {
			args[i] = inner.In(formats)
		}
	}
	return fmt.Sprintf(format, args...)
}
