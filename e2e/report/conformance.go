package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/reach"
)

// ConformanceKind marks conformance.json and conformance.yaml; their apiVersion is [APIVersion].
const ConformanceKind = "ConformanceReport"

// Conformance is the result of a run about a cluster: its behaviours, one by one, and what they were judged by. A
// maintainer publishes it; the cells behind it are in [Run].
type Conformance struct {
	// APIVersion and Kind are set by [ConformanceJSON] and [ConformanceYAML] and checked by [DecodeConformance]; a caller
	// leaves them empty.
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Tool       string `json:"tool"`
	Version    string `json:"version"`
	// Started is when the run began; Elapsed is how long it took: "4m12s".
	Started time.Time `json:"started"`
	Elapsed string    `json:"elapsed"`
	// Profile is core or extended.
	Profile string `json:"profile"`
	// Only are the behaviours that the run was limited to; empty means all of the profile.
	Only []string `json:"onlyBehaviours,omitempty"`
	// Result is the run's: the worst of the scenarios. Skipped ones do not count.
	Result  reach.Result `json:"result"`
	Cluster Cluster      `json:"cluster"`
	// ProxySource says where the cluster's proxy mode was learned.
	ProxySource string    `json:"proxyModeSource,omitempty"`
	Features    []Feature `json:"features"`
	Vantages    Vantages  `json:"vantages"`
	// Image is what the sample app ran.
	Image      string            `json:"image"`
	Statistics Statistics        `json:"statistics"`
	Behaviours []BehaviourResult `json:"behaviours"`
	Scenarios  []ScenarioResult  `json:"scenarios"`
	// Reproduce are the commands that repeat the run.
	Reproduce []string `json:"reproduce"`
}

// Where a feature's presence is known from.
const (
	Detected = "detected"
	Declared = "declared"
)

// Feature is something that a cluster may have.
type Feature struct {
	Name    string `json:"name"`
	Present bool   `json:"present"`
	// Source is Detected or Declared.
	Source string `json:"source"`
	// Detail says how it was detected, or why it is not there.
	Detail string `json:"detail,omitempty"`
}

// String says in a line whether the cluster has the feature, and how that is known.
func (f Feature) String() string {
	has := "no"
	if f.Present {
		has = "yes"
	}
	return fmt.Sprintf("%s: %s (%s): %s", f.Name, has, f.Source, f.Detail)
}

// Vantages says where the probes came from.
type Vantages struct {
	// Nodes counts the cluster's nodes. Sampled counts those that had clients on them: every usable node, or a sample
	// chosen by Seed.
	Nodes   int    `json:"nodes"`
	Sampled int    `json:"sampled"`
	Whole   bool   `json:"wholeCluster"`
	Seed    uint64 `json:"seed"`
	// Left counts the nodes that could not have a client, by reason.
	Left map[string]int `json:"leftOut,omitempty"`
	// Unusable says why no probe was sent from a kind of vantage, "outside" or "host".
	Unusable map[string]string `json:"unusable,omitempty"`
}

// Statistics are counts. Each sum is of the fields behind it.
type Statistics struct {
	Behaviours ResultCount `json:"behaviours"`
	Scenarios  ResultCount `json:"scenarios"`
	Cells      CellTotals  `json:"cells"`
	Probes     int         `json:"probes"`
}

// ResultCount counts results.
type ResultCount struct {
	Total        int `json:"total"`
	Passed       int `json:"passed"`
	Failed       int `json:"failed"`
	Inconclusive int `json:"inconclusive"`
	Skipped      int `json:"skipped"`
}

// Add counts one result more.
func (c *ResultCount) Add(r reach.Result) {
	c.Total++
	switch r {
	case reach.Pass:
		c.Passed++
	case reach.Fail:
		c.Failed++
	case reach.Skipped:
		c.Skipped++
	default:
		c.Inconclusive++
	}
}

// String says the counts in a line.
func (c ResultCount) String() string {
	return fmt.Sprintf("%d: %d passed, %d failed, %d inconclusive, %d skipped", c.Total, c.Passed, c.Failed, c.Inconclusive, c.Skipped)
}

// BehaviourResult is one behaviour's row.
type BehaviourResult struct {
	ID      string `json:"id"`
	Text    string `json:"text"`
	Profile string `json:"profile"`
	// Result is the worst of the scenarios that ran and verify it; Skipped where none ran.
	Result reach.Result `json:"result"`
	// Partial: a part of it could not be probed on this cluster and was left out; Reasons say which.
	Partial bool `json:"partial,omitempty"`
	// Scenarios verify it, those that were skipped included.
	Scenarios []string `json:"scenarios,omitempty"`
	// Reasons say why it did not pass, or was not verified, or only in part.
	Reasons []string `json:"reasons,omitempty"`
}

// ScenarioResult is one scenario's row.
type ScenarioResult struct {
	Name   string       `json:"name"`
	Title  string       `json:"title"`
	Result reach.Result `json:"result"`
	// Reason says why it was skipped or did not pass.
	Reason string `json:"reason,omitempty"`
	// LeftOut are the steps that could not be probed on this cluster, with the reason.
	LeftOut []LeftOut `json:"leftOut,omitempty"`
}

// LeftOut is a step that was not run, and why.
type LeftOut struct {
	Step   string `json:"step"`
	Reason string `json:"reason"`
}

// ConformanceJSON writes the report, as [DecodeConformance] reads it.
func ConformanceJSON(w io.Writer, c Conformance) error {
	c.APIVersion, c.Kind = APIVersion, ConformanceKind
	return encodeJSON(w, "the conformance report", "  ", c)
}

// ConformanceYAML writes the report, as [DecodeConformance] reads it.
func ConformanceYAML(w io.Writer, c Conformance) error {
	c.APIVersion, c.Kind = APIVersion, ConformanceKind
	text, err := yaml.Marshal(c)
	if err == nil {
		_, err = w.Write(text)
	}
	if err != nil {
		return fmt.Errorf("encode the conformance report as YAML: %w", err)
	}
	return nil
}

// DecodeConformance reads what [ConformanceJSON] or [ConformanceYAML] wrote, strictly, as [Decode] does.
func DecodeConformance(r io.Reader) (Conformance, error) {
	text, err := readAll(r, maxFile)
	if err != nil {
		return Conformance{}, fmt.Errorf("read a conformance report: %w", err)
	}
	raw, err := yaml.YAMLToJSONStrict(text) // JSON is YAML
	if err != nil {
		return Conformance{}, fmt.Errorf("read a conformance report: %w", err)
	}
	var c Conformance
	if err := decodeStrict(raw, ConformanceKind, &c); err != nil {
		return Conformance{}, fmt.Errorf("read a conformance report: %w", err)
	}
	errs := []error{checkResult(c.Result, "the report")}
	for _, b := range c.Behaviours {
		errs = append(errs, checkResult(b.Result, "behaviour "+b.ID))
	}
	for _, s := range c.Scenarios {
		errs = append(errs, checkResult(s.Result, "scenario "+s.Name))
	}
	return c, errors.Join(errs...)
}

// Run is the report as a run without verdicts, for [Diff]: its behaviours and scenarios are all there is to compare.
func (c Conformance) Run() Run {
	elapsed, err := time.ParseDuration(c.Elapsed)
	if err != nil {
		elapsed = 0 // it is printed, never compared
	}
	return Run{Tool: c.Tool, Version: c.Version, Started: c.Started, Elapsed: elapsed, Cluster: c.Cluster, Conformance: &c}
}

// Read reads a run or a conformance report; it returns the latter as [Conformance.Run] does.
func Read(r io.Reader) (Run, error) {
	text, err := readAll(r, maxFile)
	if err != nil {
		return Run{}, fmt.Errorf("read a result: %w", err)
	}
	var head struct {
		Kind string `json:"kind"`
	}
	if err := yaml.Unmarshal(text, &head); err == nil && head.Kind == ConformanceKind {
		c, err := DecodeConformance(bytes.NewReader(text))
		return c.Run(), err
	}
	return Decode(bytes.NewReader(text))
}
