package learn

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/labs/course"
)

func TestKeys(t *testing.T) {
	for _, tc := range []struct {
		name   string
		single bool
		chunks []string
		want   []rune
	}{
		{"single", true, []string{"h", "Q"}, []rune{'h', 'q'}},
		{"several at once", true, []string{"cq"}, []rune{'c', 'q'}},
		{"an arrow", true, []string{"\x1b[A", "n"}, []rune{'n'}},
		{"a terminal's answer", true, []string{"\x1b[?1;2c"}, nil},
		{"wide, by an input method", true, []string{"ｓ"}, []rune{'s'}},
		{"Ctrl-C", true, []string{"\x03"}, []rune{ctrlC}},
		{"lines", false, []string{"h\n", " Q \r\n"}, []rune{'h', 'q'}},
		{"a line in pieces", false, []string{"h", "\nn", "\n"}, []rune{'h', 'n'}},
		{"empty lines", false, []string{"\n\n"}, nil},
		{"words", false, []string{"hint\n", "c\n"}, []rune{0, 'c'}},
	} {
		k := &keyboard{terminal: -1}
		if tc.single {
			k.terminal = 0
		}
		var got []rune
		for _, chunk := range tc.chunks {
			got = append(got, k.keys([]byte(chunk))...)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestKeyboardAtTheEndOfTheInput(t *testing.T) {
	k := newKeyboard(strings.NewReader("yes\n"), nil, false)
	data, err := io.ReadAll(k)
	if err != nil || string(data) != "yes\n" {
		t.Errorf("got %q, %v", data, err)
	}
	if keys := k.keys(nil); keys != nil || k.chunks != nil {
		t.Errorf("the end is a key: %q", keys)
	}
}

func TestSpinnerRewritesOneLine(t *testing.T) {
	for _, tc := range []struct{ left, right, want string }{
		{"not yet", "q quit", "\r\x1b[Knot yet  q quit"},
		{"not yet", "", "\r\x1b[Knot yet"},
		{strings.Repeat("wait ", 20), "q quit", "\r\x1b[K" + strings.TrimSpace(strings.Repeat("wait ", 14)) + "  q quit"},
		{strings.Repeat("等", 50), "q 退出", "\r\x1b[K" + strings.Repeat("等", 35) + "  q 退出"},
	} {
		var b strings.Builder
		newSpinner(&b, course.English, true).show(tc.left, tc.right)
		if b.String() != tc.want {
			t.Errorf("got %q, want %q", b.String(), tc.want)
		}
	}
}
