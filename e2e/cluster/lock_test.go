package cluster

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestLock(t *testing.T) {
	dir := t.TempDir()
	lock, err := Acquire(dir, "unix:///a", "lab")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Acquire(dir, "unix:///a", "lab")
	var p *Problem
	if !errors.Is(err, ErrLocked) || !errors.As(err, &p) || !strings.Contains(err.Error(), fmt.Sprintf("process %d, since ", os.Getpid())) {
		t.Errorf("a second holder: %v", err)
	}
	for _, other := range [][2]string{{"unix:///b", "lab"}, {"unix:///a", "lab2"}} {
		free, err := Acquire(dir, other[0], other[1])
		if err != nil {
			t.Errorf("%v: %v", other, err)
			continue
		}
		if err := free.Release(); err != nil {
			t.Error(err)
		}
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if err := lock.Release(); err != nil {
		t.Errorf("releasing twice: %v", err)
	}
	again, err := Acquire(dir, "unix:///a", "lab")
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	if err := again.Release(); err != nil {
		t.Error(err)
	}
}
