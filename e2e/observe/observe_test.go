package observe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// run observes in virtual time and returns the verdicts of the Service's declared and undeclared port.
func run(t *testing.T, b *bench, policy Policy) (result Result, declared, undeclared reach.CellVerdict) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if result, err = b.engine(policy).Observe(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	return result, result.Tables[0].Cells[0], result.Tables[0].Cells[1]
}

func TestAsPredicted(t *testing.T) {
	b := newBench(t)
	result, declared, undeclared := run(t, b, Suite())
	if result.Verdict() != reach.Pass || len(result.Tables) != 1 || result.Tables[0].Title != "web" {
		t.Errorf("%s: %+v", result.Verdict(), result.Tables)
	}
	if got := strings.Join(result.Lines, "; "); got != "as predicted at once" {
		t.Errorf("lines: %s", got)
	}
	if len(b.rounds) != 3 || len(b.rounds[0]) != 2 || len(b.rounds[1]) != 2 || len(b.rounds[2]) != 2 {
		t.Errorf("%d rounds of requests, want convergence, and the two judged passes: %v", len(b.rounds), b.rounds)
	}
	if n := len(declared.Cell.Observations); n != minProbes {
		t.Errorf("%d probes were judged, want %d", n, minProbes)
	}
	if n := len(undeclared.Cell.Observations); n != 2*deniedProbes {
		t.Errorf("%d probes of the denial were judged, want %d", n, 2*deniedProbes)
	}
	if len(result.World.Services) != 1 {
		t.Error("the result lacks the snapshot that the predictions rest on")
	}
}

// A delay within the bound is waited for, whatever is late; only the cells that differ are probed again.
func TestConverges(t *testing.T) {
	b := newBench(t)
	b.network = func(round, n int, r probe.Request) reach.Observation {
		if round <= 2 && !r.Target.Undeclared {
			return reach.Observation{Outcome: reach.Refused}
		}
		return healthy(round, n, r)
	}
	var seen []string
	synctest.Test(t, func(t *testing.T) {
		e := b.engine(Suite())
		e.Progress = func(what, now string) { seen = append(seen, what+": "+now) }
		result, err := e.Observe(t.Context())
		if err != nil || result.Verdict() != reach.Pass {
			t.Fatalf("%s, %v", result.Verdict(), err)
		}
		if want := "as predicted 400ms after the objects settled, in round 3"; result.Lines[0] != want {
			t.Errorf("got %q, want %q", result.Lines[0], want)
		}
	})
	if len(b.rounds[1]) != 1 || b.snapshots != 3 {
		t.Errorf("round 2 probed %d cells, want the one that differed; %d snapshots, want one a round", len(b.rounds[1]), b.snapshots)
	}
	if want := "traffic to be as predicted: 1 cells are not, first pod/a → web clusterIP:80/TCP"; seen[0] != want || seen[len(seen)-1] != ": " {
		t.Errorf("progress: %q", seen)
	}
}

// A cell whose prediction changes is probed again though it was as predicted before.
func TestPredictionChangesWhileConverging(t *testing.T) {
	b := newBench(t)
	b.predict = func(snapshot int, target reach.Target) reach.Prediction {
		if target.Undeclared && snapshot == 1 {
			return outcome(reach.TimedOut)
		}
		if !target.Undeclared && snapshot > 1 {
			return answeredBy("x", "y", "z")
		}
		return asIntended(snapshot, target)
	}
	result, declared, _ := run(t, b, Suite())
	if result.Verdict() != reach.Fail || declared.Differences[0].Field != "missing backend" {
		t.Errorf("%s: %s", result.Verdict(), declared.Why)
	}
	if !strings.Contains(result.Lines[0], "1 cells were not as predicted") || !strings.Contains(result.Lines[0], "(the bound is 2s), first pod/a → web clusterIP:80/TCP") {
		t.Errorf("lines: %q", result.Lines)
	}
}

// What comes and goes does not pass: convergence gives no credit, and the judged pass is not repeated.
func TestFlapping(t *testing.T) {
	for name, broken := range map[string]func(round, n int) bool{
		"every fifth connection is lost": func(_, n int) bool { return n%5 == 4 },
		"it works only to converge":      func(round, _ int) bool { return round > 1 },
		"one of six":                     func(round, n int) bool { return round == 2 && n == 5 },
		"one of the last two":            func(round, n int) bool { return round == 3 && n == 1 },
	} {
		b := newBench(t)
		b.network = func(round, n int, r probe.Request) reach.Observation {
			if !r.Target.Undeclared && broken(round, n) {
				return reach.Observation{Outcome: reach.TimedOut}
			}
			return healthy(round, n, r)
		}
		if result, declared, _ := run(t, b, Suite()); result.Verdict() != reach.Fail || declared.Result != reach.Fail {
			t.Errorf("%s: %s", name, declared.Result)
		}
	}
}

// A hole that opens after the first pass is seen by the second.
func TestDenialsAreHeld(t *testing.T) {
	b := newBench(t)
	b.network = func(round, n int, r probe.Request) reach.Observation {
		if round == 3 {
			return reach.Observation{Outcome: reach.Reached, Backend: "x"}
		}
		return healthy(round, n, r)
	}
	if _, declared, undeclared := run(t, b, Suite()); undeclared.Result != reach.Fail || declared.Result != reach.Pass {
		t.Errorf("the denial: %s, the other: %s", undeclared.Result, declared.Result)
	}
}

// Nothing is judged before the proxies have written their rules, and the bound of convergence begins then.
func TestJudgesWhatIsProgrammed(t *testing.T) {
	for name, followed := range map[string]time.Duration{"traffic follows before": 0, "traffic follows within the bound": 6 * time.Second} {
		b := newBench(t)
		synctest.Test(t, func(t *testing.T) {
			var (
				began  = time.Now()
				judged time.Duration
			)
			b.network = func(round, n int, r probe.Request) reach.Observation {
				if r.Min > 1 && judged == 0 {
					judged = time.Since(began)
				}
				if time.Since(began) < followed {
					return reach.Observation{Outcome: reach.Refused}
				}
				return healthy(round, n, r)
			}
			e := b.engine(Suite())
			e.Programmed = func(ctx context.Context) (map[string]time.Duration, string) {
				_ = wait.Sleep(ctx, 5*time.Second)
				return nil, "it is not known"
			}
			result, err := e.Observe(t.Context())
			if err != nil || result.Verdict() != reach.Pass || judged < max(followed, 5*time.Second) || judged > max(followed, 5*time.Second)+reprobe {
				t.Errorf("%s: %s after %s: %v", name, result.Verdict(), judged, err)
			}
			if len(result.Lines) != 2 || result.Lines[0] != "it is not known" {
				t.Errorf("%s: %q", name, result.Lines)
			}
		})
	}
}

// Probes that wait for a reply which must not come are sent side by side, and each of them counts.
func TestSilenceIsAwaitedOnce(t *testing.T) {
	b := newBench(t)
	b.predict = func(_ int, target reach.Target) reach.Prediction {
		if target.Undeclared {
			return outcome(reach.TimedOut)
		}
		return answeredBy("x", "y")
	}
	b.network = func(round, n int, r probe.Request) reach.Observation {
		if r.Target.Undeclared {
			return reach.Observation{Outcome: reach.TimedOut, Detail: fmt.Sprint(len(b.rounds), r.Max)}
		}
		return healthy(round, n, r)
	}
	_, _, undeclared := run(t, b, Suite())
	var seen []string
	for _, o := range undeclared.Cell.Observations {
		seen = append(seen, o.Detail)
	}
	if want := []string{"2 1", "2 1", "3 1", "3 1"}; !slices.Equal(seen, want) || undeclared.Result != reach.Pass {
		t.Errorf("rounds and probes of a request %q, want %q: %s", seen, want, undeclared.Result)
	}
}

// A path that drops every packet fails, with what was seen, however long its probes take: the engine gives the prober
// as long as they need.
func TestEverythingDropped(t *testing.T) {
	for name, policy := range map[string]Policy{"suite": Suite(), "goal": Goal(), "fuzz": Fuzz(), "explain": Explain()} {
		b := newBench(t)
		b.network = func(int, int, probe.Request) reach.Observation { return reach.Observation{Outcome: reach.TimedOut} }
		result, declared, undeclared := run(t, b, policy)
		if result.Verdict() != reach.Fail || declared.Result != reach.Fail || undeclared.Result != reach.Fail {
			t.Errorf("%s: %s and %s", name, declared.Result, undeclared.Result)
		}
		if want := "outcome: want Reached, got TimedOut"; !strings.Contains(declared.Why, want) {
			t.Errorf("%s: %q", name, declared.Why)
		}
		for _, end := range b.deadlines {
			if !end.IsZero() {
				t.Errorf("%s: the prober got a deadline", name)
			}
		}
	}
}

// Where the caller's own deadline ends a cell after some of its probes were seen to differ, these decide.
func TestDeadlineAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.network = func(_, n int, r probe.Request) reach.Observation {
			if r.Target.Undeclared {
				return healthy(0, n, r)
			}
			return reach.Observation{Outcome: reach.TimedOut}
		}
		e := b.engine(Suite())
		e.Within = 0
		ctx, cancel := context.WithTimeout(t.Context(), 22*time.Second)
		defer cancel()
		result, err := e.Observe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		dropped := result.Tables[0].Cells[0]
		if n := len(dropped.Cell.Observations); n != 5 || dropped.Result != reach.Fail {
			t.Errorf("%d probes: %s: %s", n, dropped.Result, dropped.Why)
		}
		for _, want := range []string{"got TimedOut (4 of 5 probes)", "later probes could not be sent: the run's deadline passed"} {
			if !strings.Contains(dropped.Why, want) {
				t.Errorf("%q is missing from %q", want, dropped.Why)
			}
		}
	})
}

// A prober that could not be run says nothing about the cluster.
func TestProberThatCannotRun(t *testing.T) {
	for name, policy := range map[string]Policy{"suite": Suite(), "goal": Goal(), "fuzz": Fuzz(), "explain": Explain()} {
		b := newBench(t)
		b.network = func(int, int, probe.Request) reach.Observation {
			return reach.Observation{Outcome: reach.ProbeFailed, Detail: "exec format error"}
		}
		result, declared, _ := run(t, b, policy)
		if result.Verdict() != reach.Inconclusive || declared.Result != reach.Inconclusive || !strings.Contains(declared.Why, "exec format error") {
			t.Errorf("%s: %s: %s", name, declared.Result, declared.Why)
		}
		if result.Lines[0] != "as predicted at once" {
			t.Errorf("%s: nothing can be learned by probing again: %q", name, result.Lines)
		}
	}
}

// What was seen as predicted before the prober failed is no pass, and no failure either: a backend that is missing may
// have answered the probes that were not sent.
func TestProberThatFailsLater(t *testing.T) {
	b := newBench(t)
	b.network = func(round, n int, r probe.Request) reach.Observation {
		if round == 2 && n == 3 {
			return reach.Observation{Outcome: reach.ProbeFailed, Detail: "too many open files"}
		}
		return reach.Observation{Outcome: map[bool]reach.Outcome{true: reach.Refused, false: reach.Reached}[r.Target.Undeclared], Backend: "x"}
	}
	synctest.Test(t, func(t *testing.T) {
		e := b.engine(Suite())
		e.Within = 0
		result, err := e.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c := result.Tables[0].Cells[0]; c.Result != reach.Inconclusive || !strings.Contains(c.Why, "too many open files") {
			t.Errorf("%s: %s", c.Result, c.Why)
		}
	})
}

// The expected table alone decides a goal; the oracle decides how long is waited, and says why.
func TestGoal(t *testing.T) {
	intent := answeredBy("x", "y")
	b := newBench(t)
	b.expected = &intent
	b.predict = func(int, reach.Target) reach.Prediction { return outcome(reach.Refused) }
	b.network = func(int, int, probe.Request) reach.Observation { return reach.Observation{Outcome: reach.Refused} }
	result, declared, _ := run(t, b, Goal())
	if declared.Result != reach.Fail || declared.Alone != "expected table" || !strings.Contains(declared.Why, "it is so because of the objects") {
		t.Errorf("%s, %s: %s", declared.Result, declared.Alone, declared.Why)
	}
	if result.Lines[0] != "as predicted at once" {
		t.Errorf("a goal that is not reached was waited for: %q", result.Lines)
	}
	if declared.Expected == nil || declared.Oracle.Allows(reach.Reached) {
		t.Errorf("oracle and expected table are mixed up: %+v", declared)
	}
	b.network = healthy
	if _, declared, _ := run(t, b, Goal()); declared.Result != reach.Pass {
		t.Errorf("the goal is reached, though the oracle did not predict it: %s", declared.Why)
	}
	b.network = func(int, int, probe.Request) reach.Observation { return reach.Observation{Outcome: reach.NoSuchHost} }
	if _, declared, _ := run(t, b, Goal()); declared.Alone != "observation" || !strings.HasSuffix(declared.Why, "the objects do not say why") {
		t.Errorf("%s: %s", declared.Alone, declared.Why)
	}
}

// In a suite oracle and expected table must both agree.
func TestExpectedTableOfASuite(t *testing.T) {
	wrong := outcome(reach.TimedOut)
	b := newBench(t)
	b.expected = &wrong
	if _, declared, _ := run(t, b, Suite()); declared.Result != reach.Fail || declared.Alone != "expected table" {
		t.Errorf("%s, %s", declared.Result, declared.Alone)
	}
}

// A cell that never answered is given up early where a person waits, and only there.
func TestGiveUpUnanswered(t *testing.T) {
	for name, c := range map[string]struct {
		policy  Policy
		probes  int
		timeout time.Duration
	}{
		"suite":   {Suite(), minProbes - heldProbes, DefaultTimeouts().Answered},
		"fuzz":    {Fuzz(), minProbes - heldProbes, DefaultTimeouts().Answered},
		"goal":    {Goal(), 2 * deniedProbes, DefaultTimeouts().Silent},
		"explain": {Explain(), 2 * deniedProbes, DefaultTimeouts().Silent},
	} {
		b := newBench(t)
		b.network = func(round, n int, r probe.Request) reach.Observation {
			if r.Target.Undeclared {
				return healthy(round, n, r)
			}
			return reach.Observation{Outcome: reach.TimedOut}
		}
		_, declared, _ := run(t, b, c.policy)
		if n := len(declared.Cell.Observations); n != c.probes || declared.Result != reach.Fail {
			t.Errorf("%s: %d probes, want %d; %s", name, n, c.probes, declared.Result)
		}
		for _, r := range b.rounds[len(b.rounds)-2] {
			if !r.Target.Undeclared && r.Timeout != c.timeout {
				t.Errorf("%s: timeout %s, want %s", name, r.Timeout, c.timeout)
			}
			if r.Target.Undeclared && r.Timeout != DefaultTimeouts().Denied {
				t.Errorf("%s: a cell that is as predicted got timeout %s", name, r.Timeout)
			}
		}
	}
	// One answer is enough to be probed in full.
	b := newBench(t)
	b.network = func(round, n int, r probe.Request) reach.Observation {
		if n%3 == 1 && !r.Target.Undeclared {
			return reach.Observation{Outcome: reach.TimedOut}
		}
		return healthy(round, 0, r)
	}
	if _, declared, _ := run(t, b, Explain()); len(declared.Cell.Observations) < minProbes {
		t.Errorf("a cell that answered was given up after %d probes", len(declared.Cell.Observations))
	}
}

// What changes while it is probed makes a cell of other people's objects Inconclusive; in a suite it stays a failure.
func TestChangedMeanwhile(t *testing.T) {
	refusing := func(int, int, probe.Request) reach.Observation {
		return reach.Observation{Outcome: reach.Refused}
	}
	for name, c := range map[string]struct {
		policy  Policy
		changed bool
		want    reach.Result
	}{
		"suite": {Suite(), true, reach.Fail}, "goal": {Goal(), true, reach.Fail},
		"fuzz": {Fuzz(), true, reach.Inconclusive}, "explain": {Explain(), true, reach.Inconclusive},
		"fuzz, unchanged": {Fuzz(), false, reach.Fail}, "suite, unchanged": {Suite(), false, reach.Fail},
	} {
		b := newBench(t)
		b.network = refusing
		judged := func() bool { // both passes over the denials are made
			passes := 0
			for _, requests := range b.rounds {
				if slices.ContainsFunc(requests, func(r probe.Request) bool { return r.Target.Undeclared && r.Min == deniedProbes }) {
					passes++
				}
			}
			return passes == 2
		}
		b.predict = func(snapshot int, target reach.Target) reach.Prediction {
			if c.changed && judged() { // the undeclared port's too, but it was as predicted
				return outcome(reach.TimedOut)
			}
			return asIntended(snapshot, target)
		}
		b.version = func(int) string {
			if c.changed && judged() {
				return "2"
			}
			return "1"
		}
		expected := answeredBy("x", "y")
		if name == "goal" {
			b.expected = &expected
		}
		result, declared, undeclared := run(t, b, c.policy)
		if declared.Result != c.want || undeclared.Result != reach.Pass {
			t.Errorf("%s: %s and %s, want %s: %s", name, declared.Result, undeclared.Result, c.want, declared.Why)
		}
		told := strings.Contains(strings.Join(result.Lines, "\n"), "objects changed while the table was observed: service web@1  before, service web@2  after")
		if told != (c.want == reach.Fail && c.changed) || told != strings.Contains(strings.Join(result.Lines, "\n"), "objects changed") {
			t.Errorf("%s: %q", name, result.Lines)
		}
		if c.want == reach.Inconclusive && (declared.Alone != "" || declared.Differences != nil || declared.Why != "the objects changed while it was probed: of the objects now") {
			t.Errorf("%s: %+v", name, declared)
		}
	}
}

// Each table's cells are compared with their own forecasts.
func TestChangedInTheSecondTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.network = func(int, int, probe.Request) reach.Observation { return reach.Observation{Outcome: reach.NoSuchHost} }
		b.predict = func(snapshot int, target reach.Target) reach.Prediction {
			if snapshot > 1 && target.Undeclared {
				return outcome(reach.TimedOut)
			}
			return asIntended(snapshot, target)
		}
		e := b.engine(Fuzz())
		e.Within = 0
		all := e.Tables
		e.Tables = func(w world.World) ([]Table, error) {
			list, err := all(w)
			second := list[0]
			list[0].Cells, second.Cells = list[0].Cells[:1], second.Cells[1:]
			return append(list, second), err
		}
		result, err := e.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if first, second := result.Tables[0].Result(), result.Tables[1].Result(); first != reach.Fail || second != reach.Inconclusive {
			t.Errorf("%s and %s, want only the second to be Inconclusive", first, second)
		}
	})
}

func TestTargetGoneMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.network = func(int, int, probe.Request) reach.Observation { return reach.Observation{Outcome: reach.Refused} }
		e := b.engine(Fuzz())
		tables, all := 0, e.Tables
		e.Within = 0
		e.Tables = func(w world.World) ([]Table, error) {
			list, err := all(w)
			if tables++; tables > 1 {
				list[0].Cells = list[0].Cells[1:]
			}
			return list, err
		}
		result, err := e.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c := result.Tables[0].Cells[0]; c.Result != reach.Inconclusive || c.Why != "the objects changed while it was probed: the target is gone" {
			t.Errorf("%s: %s", c.Result, c.Why)
		}
	})
}

// A snapshot that cannot be taken afterwards is said in a suite; where it decides, it is an error.
func TestNoSnapshotAfterwards(t *testing.T) {
	down := errors.New("the API server is down")
	for _, policy := range []Policy{Suite(), Fuzz()} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.network = func(int, int, probe.Request) reach.Observation { return reach.Observation{Outcome: reach.Refused} }
			e := b.engine(policy)
			e.Within = 0
			e.Snapshot = func(ctx context.Context) (world.World, error) {
				if b.snapshots > 0 {
					return world.World{}, down
				}
				return b.snapshot(ctx)
			}
			result, err := e.Observe(t.Context())
			if policy.ChangedIsInconclusive {
				if !errors.Is(err, down) {
					t.Errorf("fuzz: %v", err)
				}
				return
			}
			if err != nil || result.Verdict() != reach.Fail || !strings.Contains(strings.Join(result.Lines, "\n"), "is not known: the API server is down") {
				t.Errorf("suite: %v, %q", err, result.Lines)
			}
		})
	}
}

// Missing targets are kept, and a table without cells is a table only where that is no failed goal.
func TestMissing(t *testing.T) {
	for name, c := range map[string]struct {
		policy Policy
		tables int
	}{"suite": {Suite(), 2}, "goal": {Goal(), 1}} {
		b := newBench(t)
		e := b.engine(c.policy)
		all := e.Tables
		e.Tables = func(w world.World) ([]Table, error) {
			list, err := all(w)
			return append([]Table{{Title: "empty", Missing: []reach.Missing{{What: "there is no Service"}}}}, list...), err
		}
		result, err := e.Observe(t.Context())
		if err != nil || len(result.Tables) != c.tables || len(result.Missing) != 1 || result.Missing[0].What != "there is no Service" {
			t.Errorf("%s: %d tables, missing %v, %v", name, len(result.Tables), result.Missing, err)
		}
		if last := result.Tables[len(result.Tables)-1]; len(last.Cells) != 2 || last.Result() != reach.Pass {
			t.Errorf("%s: the cells went to another table: %+v", name, last)
		}
	}
}

func TestAdjust(t *testing.T) {
	b := newBench(t)
	b.network = func(_, n int, r probe.Request) reach.Observation {
		if r.Target.Undeclared {
			return healthy(0, n, r)
		}
		return reach.Observation{Outcome: reach.WrongAnswer}
	}
	e := b.engine(Explain())
	e.Adjust = func(cells []reach.Cell, forecasts []Forecast) {
		for i := range cells {
			for k := range cells[i].Observations {
				if cells[i].Observations[k].Outcome == reach.WrongAnswer {
					cells[i].Observations[k].Outcome = reach.Reached
					forecasts[i].Oracle.Backends = nil
				}
			}
		}
	}
	result, err := e.Observe(t.Context())
	if err != nil || result.Verdict() != reach.Pass || result.Lines[0] != "as predicted at once" {
		t.Errorf("%s, %q, %v", result.Verdict(), result.Lines, err)
	}
	if c := result.Tables[0].Cells[0]; len(c.Cell.Observations) != minProbes-heldProbes || c.Oracle.Backends != nil {
		t.Errorf("%+v", c)
	}
}

// A cell that Adjust makes match, though no backend answered, is given up too: its probes would all time out.
func TestAdjustedCellIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		policy Policy
		probes int
	}{"explain": {Explain(), 2 * deniedProbes}, "fuzz": {Fuzz(), minProbes - heldProbes}} {
		b := newBench(t)
		b.network = func(round, n int, r probe.Request) reach.Observation {
			if r.Target.Undeclared {
				return healthy(round, n, r)
			}
			return reach.Observation{Outcome: reach.TimedOut}
		}
		e := b.engine(c.policy)
		e.Adjust = func(cells []reach.Cell, _ []Forecast) {
			for i := range cells {
				for k := range cells[i].Observations {
					if cells[i].Observations[k].Outcome == reach.TimedOut {
						cells[i].Observations[k].Outcome = reach.Unprobed
					}
				}
			}
		}
		result, err := e.Observe(t.Context())
		if err != nil || result.Lines[0] != "as predicted at once" {
			t.Fatalf("%s: %q, %v", name, result.Lines, err)
		}
		if cell := result.Tables[0].Cells[0]; cell.Result != reach.Skipped || len(cell.Cell.Observations) != c.probes {
			t.Errorf("%s: %s after %d probes, want %d", name, cell.Result, len(cell.Cell.Observations), c.probes)
		}
		if r := b.rounds[1][slices.IndexFunc(b.rounds[1], func(r probe.Request) bool { return r.Target.Undeclared })]; r.Timeout != DefaultTimeouts().Denied {
			t.Errorf("%s: a denial that is as predicted got timeout %s", name, r.Timeout)
		}
	}
}

func TestErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		change func(e *Engine, b *bench)
		want   string
	}{
		"snapshot": {func(e *Engine, _ *bench) {
			e.Snapshot = func(context.Context) (world.World, error) { return world.World{}, broken }
		}, "broken"},
		"tables":        {func(e *Engine, _ *bench) { e.Tables = func(world.World) ([]Table, error) { return nil, broken } }, "broken"},
		"converging":    {func(e *Engine, b *bench) { e.Prober = failing{b, 1} }, "observe: broken"},
		"judged pass":   {func(e *Engine, b *bench) { e.Prober = failing{b, 2} }, "observe: broken"},
		"second pass":   {func(e *Engine, b *bench) { e.Prober = failing{b, 3} }, "probe again: observe: broken"},
		"too few cells": {func(e *Engine, b *bench) { e.Prober = failing{b, 0} }, "observe: 2 cells were requested, 1 came back"},
	} {
		b := newBench(t)
		e := b.engine(Suite())
		c.change(&e, b)
		if _, err := e.Observe(t.Context()); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// failing is a prober that fails in a round; in round 0 it loses a cell.
type failing struct {
	*bench
	round int
}

func (f failing) Observe(ctx context.Context, requests []probe.Request) ([]reach.Cell, error) {
	cells, err := f.bench.Observe(ctx, requests)
	switch f.round {
	case 0:
		return cells[1:], err
	case len(f.rounds):
		return nil, errors.New("broken")
	}
	return cells, err
}

// A run that is cancelled while it converges says so, with what it saw last.
func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		b := newBench(t)
		b.network = func(round, _ int, _ probe.Request) reach.Observation {
			if round == 3 {
				cancel(stopped)
			}
			return reach.Observation{Outcome: reach.Refused}
		}
		_, err := b.engine(Suite()).Observe(ctx)
		if !errors.Is(err, stopped) || !strings.Contains(err.Error(), "traffic to be as predicted (1 cells are not, first pod/a") {
			t.Errorf("%v", err)
		}
		if len(b.rounds) != 3 {
			t.Errorf("%d rounds, want none after it was cancelled", len(b.rounds))
		}
	})
}

// The requests come in an order that the seed alone decides.
func TestOrder(t *testing.T) {
	order := func(seed uint64) string {
		b := newBench(t)
		e := b.engine(Suite())
		e.Seed = seed
		e.Tables = func(world.World) ([]Table, error) {
			table := Table{}
			for port := range uint16(20) {
				target := closed
				target.Port = 100 + port
				table.Cells = append(table.Cells, Cell{Vantage: fromPod, Target: target})
			}
			return []Table{table}, nil
		}
		result, err := e.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range result.Tables[0].Cells {
			if c.Cell.Target.Port != uint16(100+i) {
				t.Fatalf("cell %d is that of port %d", i, c.Cell.Target.Port)
			}
		}
		text := ""
		for _, r := range b.rounds[0] {
			text += r.Target.Name() + " "
		}
		return text
	}
	if first, again := order(1), order(1); first != again || first == order(2) {
		t.Error("the order is not the seed's")
	}
}
