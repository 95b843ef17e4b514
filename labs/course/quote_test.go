package course

import (
	"slices"
	"strings"
	"testing"
)

func TestQuotes(t *testing.T) {
	text := func(block string) Text {
		return Text{Messages: map[string]string{"goal": block}, order: []string{"goal"}}
	}
	found, err := quotes(text("Look:\n\n```console start\n$ kubectl get pods\nNAME\nmy-app-…\n\n$ kubectl get \\\n  services\n```\n" +
		"```console 01-x exit=1\n$ kubectl get nothing\n```\n```console example\n$ kubectl delete pods\n```\n```yaml\nkind: Pod\n```"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 3 || found[0].State != "start" || found[0].Command != "kubectl get pods" || !slices.Equal(found[0].Output, []string{"NAME", "my-app-…", ""}) ||
		found[1].Command != "kubectl get \\\n  services" || found[2].State != "01-x" || found[2].Exit != 1 {
		t.Errorf("%+v", found)
	}
	for block, want := range map[string]string{
		"```\n$ x\n```":                      "want console STATE",
		"```sh\n$ x\n```":                    "want console STATE",
		"```console\n$ x\n```":               "names the state in which its output is right",
		"```console start code=1\n$ x\n```":  "want exit=CODE",
		"```console start\noutput\n$ x\n```": "begins with",
	} {
		if _, err := quotes(text(block)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", block, err, want)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		quoted, printed string
		want            bool
	}{
		{"a b", "a   b", true},
		{"a b", "a b c", false},
		{"my-app-… 1/1", "my-app-75595cbd7-x 1/1", true},
		{"my-app-… 1/1", "my-app-75595cbd7-x 0/1", false},
		{"…", "anything", true},
		{"10.…,10.…", "10.1.1.1,10.1.1.2", true},
		{"10.…,10.…", "10.1.1.1", false},
		{"…a", "ba", true},
		{"a…a", "a", false},
		{"a…b…c", "a1b2c", true},
		{"a…b…c", "a1c2b", false},
	} {
		if got := Matches(tc.quoted, tc.printed); got != tc.want {
			t.Errorf("%q and %q: %t", tc.quoted, tc.printed, got)
		}
	}
}

func TestDiffer(t *testing.T) {
	for _, tc := range []struct {
		name          string
		quoted        []string
		printed, want string
	}{
		{"alike", []string{"NAME", "a …", ""}, "NAME\n\na 1\n", ""},
		{"another line", []string{"NAME", "b"}, "NAME\na\n", `"b" is quoted, and "a" was printed`},
		{"a line less", []string{"NAME", "a", "b"}, "NAME\na\n", `"b" is quoted, and nothing more was printed`},
		{"a line more", []string{"NAME"}, "NAME\na\n", `"a" was printed, and is not quoted`},
		{"any lines", []string{"NAME", "…", "z"}, "NAME\na\nb\nz\n", ""},
		{"any lines to the end", []string{"NAME", "…"}, "NAME\na\nb\n", ""},
		{"any lines and then none", []string{"…", "z"}, "a\nb\n", `"z" is quoted, and was not printed`},
		{"nothing", nil, "", ""},
	} {
		if got := (Quote{Output: tc.quoted}).Differ(tc.printed); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}
