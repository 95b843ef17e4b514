package report

import (
	"strings"
	"testing"
)

func TestReadAllIsBounded(t *testing.T) {
	if text, err := readAll(strings.NewReader("1234"), 4); err != nil || string(text) != "1234" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := readAll(strings.NewReader("12345"), 4); err == nil || !strings.Contains(err.Error(), "larger than 4 bytes") {
		t.Error(err)
	}
}
