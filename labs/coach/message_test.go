package coach

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/svclab/svclab/labs/course"
)

var verbs = regexp.MustCompile(`%(\[\d+\])?[a-z]`)

func TestEveryMessageIsThereInBothLanguages(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^\t(\w+)\s+ID = "([^"]+)"$`)
	file, err := os.ReadFile("message.go")
	if err != nil {
		t.Fatal(err)
	}
	table := messages()
	found := declared.FindAllStringSubmatch(string(file), -1)
	if len(found) == 0 || len(found) != len(table) {
		t.Errorf("%d IDs are declared, the table has %d", len(found), len(table))
	}
	for _, match := range found {
		m, known := table[ID(match[2])]
		if !known {
			t.Errorf("%s is not in the table", match[1])
			continue
		}
		if m.en == "" || m.zh == "" {
			t.Errorf("%s lacks a language: %+v", match[1], m)
		}
		if en, zh := verbs.FindAllString(m.en, -1), verbs.FindAllString(m.zh, -1); !slices.Equal(en, zh) {
			t.Errorf("%s says other values in the two languages: %v and %v", match[1], en, zh)
		}
		if m.en != m.zh && !strings.ContainsFunc(m.zh, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
			t.Errorf("%s is not translated: %q", match[1], m.zh)
		}
		if strings.ContainsFunc(m.en, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
			t.Errorf("%s: the English text has Chinese characters", match[1])
		}
	}
}

func TestSay(t *testing.T) {
	if got := Say(course.Chinese, HintHead, 2, 3); got != "提示 2 / 3" {
		t.Errorf("got %q", got)
	}
	if got := Say(course.English, HintHead, 2, 3); got != "Hint 2 of 3" {
		t.Errorf("got %q", got)
	}
}
