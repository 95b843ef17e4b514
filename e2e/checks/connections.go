package checks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
)

// connectionsArgs are those of the check connections.
type connectionsArgs struct {
	Service string `json:"service"`
	// From are vantages as a table's row has them; To selects the service's targets.
	From scenario.Strings `json:"from"`
	To   scenario.To      `json:"to"`
	// Connections is how many connections each vantage opens to each target at the same time.
	Connections int `json:"connections"`
	// Length is how many bytes each of them echoes, Hold how long it is idle afterwards. UDP has no Hold.
	Length int               `json:"length"`
	Hold   scenario.Duration `json:"hold"`
}

// connections opens connections as no table does: all at the same time. Each carries more than fits into one packet, is left
// idle, is used again, and is closed by the client before the last answer has arrived.
func connections(ctx context.Context, env Env, args connectionsArgs) ([]string, error) {
	pairs, err := env.site().Pairs(args.Service, args.From, args.To)
	if err != nil {
		return nil, err
	}
	if args.Connections < 1 {
		return nil, errors.New("connections: want at least 1")
	}
	each := map[string]int{}
	var requests []probe.Request
	for _, p := range pairs {
		for range args.Connections {
			requests = append(requests, probe.Request{Vantage: p.Vantage, Target: p.Target, Min: 1, Max: 1, Length: args.Length,
				Hold: time.Duration(args.Hold), Timeout: env.Timeouts.Answered + time.Duration(args.Hold)})
		}
		each[p.Vantage.Name] += args.Connections
		if each[p.Vantage.Name] > wire.DefaultConcurrency {
			return nil, fmt.Errorf("%s would open %d connections, at most %d are possible", p.Vantage.Name, each[p.Vantage.Name], wire.DefaultConcurrency)
		}
	}
	cells, err := env.Prober.Observe(ctx, requests)
	if err != nil {
		return nil, err
	}
	return judgeConnections(cells)
}

// judgeConnections returns an error unless every connection was answered. Cells that are left out on purpose do not count,
// but some cell must be probed.
func judgeConnections(cells []reach.Cell) (lines []string, err error) {
	var (
		probed, made int
		wrong        []string
		unsent       error // a failure that was observed goes before it
	)
	for _, cell := range cells {
		_, unprobed, failed := cell.Probed()
		if unprobed != "" {
			continue
		}
		if failed != "" && unsent == nil {
			unsent = fmt.Errorf("from %s to %s: a probe could not be sent: %s", cell.Vantage.Name, cell.Target.Name(), failed)
		}
		probed++
		for _, o := range cell.Observations {
			if o.Outcome == reach.ProbeFailed {
				continue
			}
			if made++; o.Outcome != reach.Reached {
				wrong = append(wrong, fmt.Sprintf("from %s to %s: %s: %s", cell.Vantage.Name, cell.Target.Name(), o.Outcome, o.Detail))
			}
		}
	}
	if probed == 0 {
		return nil, errors.New("no connection could be made from these vantages")
	}
	lines = append(lines, fmt.Sprintf("%d connections, %d answered as they should be", made, made-len(wrong)))
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return lines, reach.Failf("%d of %d connections failed, first %s", len(wrong), made, wrong[0])
	}
	return lines, unsent
}
