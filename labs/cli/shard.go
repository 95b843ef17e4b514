package cli

import (
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/scenario"
)

const shardUsage = "run only this part of the scenarios, such as 2/4; all parts take about as long, and svclab merge joins their results"

// take returns the scenarios of a shard, and what its result says of it; nil if there is no shard.
func (a *app) take(shard scenario.Shard, all []scenario.Scenario) ([]scenario.Scenario, *report.Shard, error) {
	if shard.Of == 0 {
		return all, nil, nil
	}
	took, err := scenario.Durations(a.Manifests)
	if err != nil {
		return nil, nil, err
	}
	part, err := shard.Take(all, took)
	return part, &report.Shard{Index: shard.Index, Of: shard.Of, All: names(all)}, err
}

// lastTimes returns how long each scenario took in the last run into the output folder, or else in the run that is built in.
// Without either the progress guesses: what cannot be read is left out.
func (a *app) lastTimes() map[string]time.Duration {
	took := map[string]time.Duration{}
	if built, err := scenario.Durations(a.Manifests); err == nil {
		maps.Copy(took, built)
	}
	file, err := os.Open(filepath.Join(a.Config.Output, report.JSONFile))
	if err != nil {
		return took
	}
	defer func() { _ = file.Close() }() // it was only read
	if last, err := report.Decode(file); err == nil {
		for _, v := range last.Verdicts {
			if v.Elapsed > 0 {
				took[v.Scenario] = v.Elapsed
			}
		}
	}
	return took
}
