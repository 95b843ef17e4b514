package e2e_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// documents are the project's own Markdown files, by path. Exercises and golden files are data.
func documents(t *testing.T) map[string]string {
	t.Helper()
	root, texts := os.DirFS(".."), map[string]string{}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch base := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && (base == "testdata" || base == "scaffold" || name == "labs/exercises" || strings.HasPrefix(base, "_") || strings.HasPrefix(base, ".") && name != "."):
			return fs.SkipDir
		case path.Ext(name) == ".md":
			text, err := fs.ReadFile(root, name)
			texts[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) < 8 || texts["README.md"] == "" {
		t.Fatalf("the walk found only %d documents", len(texts))
	}
	return texts
}

// Documents move when packages do. A link to a file that is gone is found here.
func TestLinksOfDocumentsExist(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	for name, text := range documents(t) {
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			if _, err := fs.Stat(os.DirFS(".."), path.Join(path.Dir(name), found[1])); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, found[1])
			}
		}
	}
}

// A document that names a target of make names one that there is.
func TestMakeTargetsOfDocumentsExist(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("(?m)(?:^    |`|&& |=1 )make ([a-z][a-z0-9-]*)")
	for name, text := range documents(t) {
		for _, found := range named.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(string(makefile), "\n"+found[1]+":") {
				t.Errorf("%s names make %s, which the Makefile does not have", name, found[1])
			}
		}
	}
}

// A document that says how many exercises there are says the number of their folders.
func TestNumbersOfExercisesAreTrue(t *testing.T) {
	folders, err := fs.Glob(os.DirFS("../labs/exercises"), "[0-9][0-9]-*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("%d exercises, %v", len(folders), err)
	}
	texts := documents(t)
	said := regexp.MustCompile(`(\d+)(?: guided exercises| 个练习)`)
	for _, name := range []string{"README.md", "labs/README.md", "labs/README.zh.md"} {
		found := said.FindAllStringSubmatch(texts[name], -1)
		if len(found) == 0 {
			t.Errorf("%s does not say how many exercises there are", name)
		}
		for _, number := range found {
			if number[1] != strconv.Itoa(len(folders)) {
				t.Errorf("%s says %q; labs/exercises has %d", name, number[0], len(folders))
			}
		}
	}
}
