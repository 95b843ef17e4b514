package coach

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/svclab/svclab/labs/course"
)

var (
	declaration = regexp.MustCompile(`(?m)^\t(\w+) +Message = (".*") \+ zh \+ (".*")$`)
	verbs       = regexp.MustCompile(`%(\[\d+\])?[a-z]`)
)

func TestEveryMessageIsThereInBothLanguagesAndUsed(t *testing.T) {
	file, err := os.ReadFile("message.go")
	if err != nil {
		t.Fatal(err)
	}
	found := declaration.FindAllStringSubmatch(string(file), -1)
	if all := strings.Count(string(file), " Message = "); len(found) == 0 || len(found) != all {
		t.Errorf("%d of %d messages have the form NAME Message = English + zh + Chinese", len(found), all)
	}
	var code []byte
	for _, pattern := range []string{"*.go", "../cli/learn/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, name := range files {
			if name == "message.go" || strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			code = append(code, text...)
		}
	}
	for _, match := range found {
		name, english, chinese := match[1], match[2], match[3]
		if en, zh := verbs.FindAllString(english, -1), verbs.FindAllString(chinese, -1); !slices.Equal(en, zh) {
			t.Errorf("%s has different values in the two languages: %v and %v", name, en, zh)
		}
		if !hasHan(chinese) {
			t.Errorf("%s is not translated: %s", name, chinese)
		}
		if english == `""` || hasHan(english) {
			t.Errorf("%s: want an English text, got %s", name, english)
		}
		if !regexp.MustCompile(`\b` + name + `\b`).Match(code) {
			t.Errorf("%s is never used", name)
		}
	}
}

func hasHan(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}

func TestSay(t *testing.T) {
	if got := Say(course.Chinese, HintHead, 2, 3); got != "提示 2 / 3" {
		t.Errorf("got %q", got)
	}
	if got := Say(course.English, HintHead, 2, 3); got != "Hint 2 of 3" {
		t.Errorf("got %q", got)
	}
}
