package upstream

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// SpecResult is how one spec ended.
type SpecResult struct {
	Spec
	// Result is Pass or Fail, and Inconclusive for a spec that did not run to its end.
	Result  reach.Result  `json:"result"`
	Elapsed time.Duration `json:"elapsedNs"`
	// Why says what failed, or that it did not run.
	Why string `json:"why,omitempty"`
}

// Outcome is one run of upstream's specs.
type Outcome struct {
	// Version is the Kubernetes release of the specs: "v1.37.2".
	Version string `json:"version"`
	// Processes is how many ran specs at the same time.
	Processes int `json:"processes"`
	// Specs are the results of all requested specs, in the order of Specs.
	Specs []SpecResult `json:"specs"`
	// Elapsed is the time of the run, including the start of the program.
	Elapsed time.Duration `json:"elapsedNs"`
}

// Result is the worst result of the specs; Inconclusive if there are none.
func (o Outcome) Result() reach.Result {
	result := reach.Skipped
	for _, s := range o.Specs {
		result = reach.Worse(result, s.Result)
	}
	if result == reach.Skipped {
		return reach.Inconclusive
	}
	return result
}

// Passed is how many specs passed.
func (o Outcome) Passed() int {
	n := 0
	for _, s := range o.Specs {
		if s.Result == reach.Pass {
			n++
		}
	}
	return n
}

// suiteReport is the part of Ginkgo's JSON report that is read here:
// https://onsi.github.io/ginkgo/#generating-machine-readable-reports
type suiteReport struct {
	SpecReports []struct {
		ContainerHierarchyTexts []string
		LeafNodeText            string
		LeafNodeType            string
		State                   string
		RunTime                 time.Duration
		Failure                 struct{ Message string }
	}
}

// read returns the results of the specs from Ginkgo's JSON report, one for each spec. It returns an error if another spec ran,
// or if the suite failed outside of the specs.
func read(r io.Reader, specs []Spec) ([]SpecResult, error) {
	var suites []suiteReport
	if err := json.NewDecoder(r).Decode(&suites); err != nil {
		return nil, fmt.Errorf("read Ginkgo's report: %w", err)
	}
	results := make([]SpecResult, len(specs))
	for i, s := range specs {
		results[i] = SpecResult{Spec: s, Result: reach.Inconclusive, Why: "it did not run: this e2e.test does not have it"}
	}
	for _, suite := range suites {
		for _, ran := range suite.SpecReports {
			if ran.State == "skipped" || ran.State == "pending" {
				continue // not in focus
			}
			if ran.LeafNodeType != "It" {
				if ran.State != "passed" {
					return results, fmt.Errorf("upstream's suite failed in its %s: %s", ran.LeafNodeType, firstLine(ran.Failure.Message))
				}
				continue
			}
			name := strings.Join(append(slices.Clone(ran.ContainerHierarchyTexts), ran.LeafNodeText), " ")
			at := slices.IndexFunc(specs, func(s Spec) bool { return s.Name == name })
			if at < 0 {
				return results, fmt.Errorf("an unrequested spec ran: %s", name)
			}
			result := SpecResult{Spec: specs[at], Elapsed: ran.RunTime, Why: firstLine(ran.Failure.Message)}
			switch ran.State {
			case "passed":
				result.Result, result.Why = reach.Pass, ""
			case "failed", "panicked", "timedout":
				result.Result = reach.Fail
			default: // interrupted, aborted
				result.Result, result.Why = reach.Inconclusive, "it was "+ran.State
			}
			results[at] = result
		}
	}
	return results, nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
