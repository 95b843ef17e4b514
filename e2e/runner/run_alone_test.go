package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
)

// A serial scenario is set up next to others, and is alone when it begins to disturb the cluster. What it waits for is not its own time.
func TestSerialScenarioIsSetUpNextToOthers(t *testing.T) {
	c, p, _ := lab(t)
	var (
		mu      sync.Mutex
		events  []string
		looked  = make(chan bool)
		onceSet sync.Once
	)
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, fmt.Sprintf(format, args...))
	}
	const others = 500 * time.Millisecond
	r := New(c, p, WithSettings(quickly()), WithBefore(func(_ context.Context, name string, step scenario.Step, _ string) error {
		note("%s: %s", name, step.Name)
		switch {
		case name == "other" && step.Name == "look":
			<-looked
			time.Sleep(others)
			note("other: ended")
		case name == "restart" && step.Name == "look":
			onceSet.Do(func() { close(looked) })
		}
		return nil
	}))
	disturb := "  - {name: scale, scale: {object: deployment/my-app, replicas: 1}}\n  - {name: scale again, scale: {object: deployment/my-app, replicas: 2}}\n"
	out, err := r.Run(t.Context(), []scenario.Scenario{loaded(t, "restart", "serial: true", deployAndLook+disturb, reachTable), loaded(t, "other", "", deployAndLook, reachTable)})
	if err != nil || out.Verdicts[0].Result != reach.Pass || out.Verdicts[1].Result != reach.Pass {
		t.Fatalf("%v, %+v", err, out.Verdicts)
	}
	observed, ended, scaled := slices.Index(events, "restart: look"), slices.Index(events, "other: ended"), slices.Index(events, "restart: scale")
	if observed < 0 || ended < observed || scaled < ended {
		t.Errorf("in this order: %s", strings.Join(events, ", "))
	}
	steps := time.Duration(0)
	for _, step := range out.Verdicts[0].Steps {
		steps += step.Elapsed
	}
	if took := out.Verdicts[0].Elapsed; took > steps+others/2 {
		t.Errorf("it took %s, its steps %s: it includes the wait for the other", took, steps)
	}
}
