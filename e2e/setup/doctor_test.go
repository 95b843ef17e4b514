package setup

import "testing"

// Systems other than Linux are told what works there, not what Linux lacks.
func TestDoctorOnOtherSystems(t *testing.T) {
	for _, tc := range []struct {
		goos, images string
		system       State
		tools        State
	}{
		{"darwin", "", OK, OK}, {"darwin", "build", OK, Missing}, {"windows", "", Missing, OK},
	} {
		if f := examineSystem(tc.goos); f.State != tc.system || f.Found == "" || f.State == Missing && f.Fix == "" {
			t.Errorf("%s: %+v", tc.goos, f)
		}
		if f := examineBuildTools(Config{Images: tc.images}, tc.goos, false); f.State != tc.tools {
			t.Errorf("%s, images %q: %+v", tc.goos, tc.images, f)
		}
	}
	if f := examineSystem("linux"); f != (Finding{}) {
		t.Errorf("linux: %+v", f)
	}
}
