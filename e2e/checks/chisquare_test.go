package checks

import (
	"math"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
)

func TestChiSquareTail(t *testing.T) {
	for _, c := range []struct {
		x    float64
		df   int
		want float64
	}{{3.841459, 1, 0.05}, {6.634897, 1, 0.01}, {5.991465, 2, 0.05}, {16.918978, 9, 0.05}, {27.877165, 9, 0.001}, {0, 3, 1}, {1.386294, 2, 0.5}} {
		if got := chiSquareTail(c.x, c.df); math.Abs(got-c.want) > 1e-6 {
			t.Errorf("chi-square %g with %d degrees: %g, want %g", c.x, c.df, got, c.want)
		}
	}
}

func TestJudgeSpread(t *testing.T) {
	if lines, err := judgeSpread(map[string]int{"a": 98, "b": 102}, 1e-6); err != nil || len(lines) != 1 {
		t.Errorf("even: %v", err)
	}
	if _, err := judgeSpread(map[string]int{"a": 150, "b": 50}, 1e-6); reach.ResultOf(err) != reach.Fail {
		t.Errorf("three to one of 200: %v", err)
	}
}
