package course

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Language is a language of the course.
type Language string

// The languages.
const (
	English Language = "en"
	Chinese Language = "zh"
)

// Languages returns all languages. English is the first, and every exercise has it.
func Languages() []Language { return []Language{English, Chinese} }

// Text is everything that a learner reads in one language.
type Text struct {
	Title string
	// Messages are Markdown, by ID: "goal", "hint/1", "misconception/NAME".
	Messages map[string]string
	// order has the IDs in the order of the file.
	order []string
	// reviewed has, by ID, the hashes that this message and the English one had when a person last found that both say the same.
	reviewed map[string]pair
}

type pair struct{ english, other string }

var (
	messageID   = regexp.MustCompile(`^[a-z][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*$`)
	reviewLine  = regexp.MustCompile(`^(\S+) ([0-9a-f]{12}) ([0-9a-f]{12})$`)
	reviewBegin = "<!-- reviewed: message, hash of the English text, hash of this text"
	reviewEnd   = "-->"
)

// parseText reads a text file: a first line "# TITLE", then a section "## ID" for each message. A comment at the end has the
// hashes of the reviewed messages.
func parseText(data string) (Text, error) {
	t := Text{Messages: map[string]string{}, reviewed: map[string]pair{}}
	body, review, found := strings.Cut(data, reviewBegin)
	if found {
		if err := t.parseReview(review); err != nil {
			return t, err
		}
	}
	var (
		id     string
		lines  []string
		errs   []error
		fenced bool
		flush  = func() {
			if id != "" {
				t.Messages[id] = strings.TrimSpace(strings.Join(lines, "\n"))
				if t.Messages[id] == "" {
					errs = append(errs, fmt.Errorf("message %s is empty", id))
				}
			}
			lines = nil
		}
	)
	for n, line := range strings.Split(body, "\n") {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		title, isTitle := strings.CutPrefix(line, "# ")
		section, isSection := strings.CutPrefix(line, "## ")
		switch {
		case fenced:
			lines = append(lines, line)
		case n == 0 && isTitle:
			t.Title = strings.TrimSpace(title)
		case n == 0 || isTitle:
			errs = append(errs, fmt.Errorf("line %d: want one title, \"# …\", in the first line", n+1))
		case isSection:
			flush()
			id = strings.TrimSpace(section)
			if !messageID.MatchString(id) {
				errs = append(errs, fmt.Errorf("line %d: %q is no message ID; want one such as goal or hint/1", n+1, id))
			}
			if slices.Contains(t.order, id) {
				errs = append(errs, fmt.Errorf("line %d: message %s is there twice", n+1, id)) // t.Messages would silently have only the last
			}
			t.order = append(t.order, id)
		case id == "" && strings.TrimSpace(line) != "":
			errs = append(errs, fmt.Errorf("line %d: text before the first section", n+1))
		default:
			lines = append(lines, line)
		}
	}
	if fenced {
		errs = append(errs, errors.New("a ``` block is not closed"))
	}
	flush()
	return t, errors.Join(errs...)
}

func (t *Text) parseReview(review string) error {
	inner, rest, closed := strings.Cut(review, reviewEnd)
	if !closed || strings.TrimSpace(rest) != "" {
		return errors.New("the comment about reviewed messages must be closed, and nothing may follow it")
	}
	for _, line := range strings.Split(strings.TrimSpace(inner), "\n") {
		match := reviewLine.FindStringSubmatch(strings.TrimSpace(line))
		if match == nil {
			return fmt.Errorf("reviewed: %q: want MESSAGE HASH HASH; svclab learn lint --accept writes it", line)
		}
		t.reviewed[match[1]] = pair{english: match[2], other: match[3]}
	}
	return nil
}

// hash identifies a message's words. Line breaks do not count.
func hash(message string) string {
	sum := sha256.Sum256([]byte(words(message)))
	return hex.EncodeToString(sum[:6])
}

// titleID is the ID of the title among the reviewed messages.
const titleID = "title"

func (t Text) message(id string) string {
	if id == titleID {
		return t.Title
	}
	return t.Messages[id]
}

// stale returns an error for each message that changed in one of two languages after the last review.
func stale(english, other Text) []error {
	var errs []error
	for _, id := range append([]string{titleID}, english.order...) {
		seen, known := other.reviewed[id]
		if other.message(id) == "" {
			continue // missing, which is another error
		}
		switch e, o := hash(english.message(id)) == seen.english, hash(other.message(id)) == seen.other; {
		case !known:
			errs = append(errs, fmt.Errorf("message %s was not compared with the English one yet: svclab learn lint NN --accept", id))
		case !e && !o:
			errs = append(errs, fmt.Errorf("message %s changed in both languages", id))
		case !e:
			errs = append(errs, fmt.Errorf("message %s is stale: the English text changed", id))
		case !o:
			errs = append(errs, fmt.Errorf("message %s changed: the English text may be stale", id))
		}
	}
	for id := range other.reviewed {
		if id != titleID && !slices.Contains(english.order, id) {
			errs = append(errs, fmt.Errorf("message %s was reviewed but does not exist", id))
		}
	}
	return errs
}

// Accept returns the text file of another language with a comment that records the review of all its messages: they say what the
// English ones say.
func Accept(english, other string) (string, error) {
	e, err := parseText(english)
	if err != nil {
		return "", fmt.Errorf("the English text: %w", err)
	}
	o, err := parseText(other)
	if err != nil {
		return "", err
	}
	body, _, _ := strings.Cut(other, reviewBegin)
	var b strings.Builder
	b.WriteString(strings.TrimRight(body, "\n") + "\n\n" + reviewBegin + "\n")
	for _, id := range append([]string{titleID}, e.order...) {
		if o.message(id) == "" {
			return "", fmt.Errorf("message %s is missing", id)
		}
		fmt.Fprintf(&b, "%s %s %s\n", id, hash(e.message(id)), hash(o.message(id)))
	}
	b.WriteString(reviewEnd + "\n")
	return b.String(), nil
}
