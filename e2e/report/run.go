// Package report renders a run: text for a terminal, JSON, JUnit, Markdown for a CI job summary, one self-contained
// HTML page, and SVG. A run is the judged scenarios and the facts of their cluster. The package also compares two runs.
// It judges nothing: every result that it prints is the verdict's own. It talks to no cluster, and only [WriteAll] uses
// the file system.
package report

import (
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// APIVersion and Kind mark result.json. A change that older readers would misread gets a new version.
const (
	APIVersion = "svclab.dev/v2"
	Kind       = "Run"
)

// Run is everything that is reported about one run: the content of result.json.
type Run struct {
	// APIVersion and Kind are set by [JSON] and checked by [Decode]; a caller leaves them empty.
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Tool is the program that ran, "svclab"; Version is its version.
	Tool    string `json:"tool"`
	Version string `json:"version"`
	// Started is when the run began; Elapsed is how long it took, cluster creation included.
	Started time.Time     `json:"started"`
	Elapsed time.Duration `json:"elapsedNs"`
	Cluster Cluster       `json:"cluster"`
	Plan    Plan          `json:"plan"`
	// Verdicts are in the order in which they are printed.
	Verdicts []reach.Verdict `json:"verdicts"`
	// Powers are how likely the statistical checks were to notice a fault. [JSON] computes them from the verdicts; a caller leaves
	// them empty.
	Powers []reach.Power `json:"powers,omitempty"`
	// Shard is set if the run was one part of several: see Merge.
	Shard *Shard `json:"shard,omitempty"`
	// Conformance is set for a conformance run.
	Conformance *Conformance `json:"conformance,omitempty"`
}

// Cluster describes the cluster. Empty fields are unknown and not printed.
type Cluster struct {
	Name string `json:"name"`
	// Kubernetes is the API server's version: "v1.37.2".
	Kubernetes string `json:"kubernetes"`
	// ProxyMode is kube-proxy's, as detected: "nftables", "iptables", "ipvs", "unknown".
	ProxyMode string `json:"proxyMode"`
	// Proxy is kube-proxy's release where it is not that of the cluster: "v1.33.0".
	Proxy string `json:"proxy,omitempty"`
	// CoreDNS is CoreDNS's release where it is not that of the cluster.
	CoreDNS string `json:"coreDNS,omitempty"`
	// Families are the IP families that Services get: "IPv4", "IPv6".
	Families []string `json:"families,omitempty"`
	Nodes    []Node   `json:"nodes,omitempty"`
	// Provider is "kind v0.33.0" or "existing"; Engine what the nodes run in: "docker 28.0.1".
	Provider string `json:"provider,omitempty"`
	Engine   string `json:"engine,omitempty"`
}

// proxy is kube-proxy's release, if it has one of its own, and its mode.
func (c Cluster) proxy() string { return strings.TrimSpace(c.Proxy + " " + c.ProxyMode) }

func (c Cluster) nodeNames(separator string) string {
	names := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		names[i] = n.Name
	}
	return strings.Join(names, separator)
}

// Node is one node of the cluster.
type Node struct {
	Name string `json:"name"`
	// Slot is the short name by which vantages and targets refer to it: "worker".
	Slot string `json:"slot,omitempty"`
	// Roles are those of its node-role labels: "control-plane".
	Roles []string `json:"roles,omitempty"`
}

// Plan accounts for every requested scenario. One that is neither run nor skipped was lost, as when a run is
// interrupted, and makes the run Inconclusive.
type Plan struct {
	Planned []string `json:"planned"`
	Run     []string `json:"run"`
	Skipped []Skip   `json:"skipped,omitempty"`
}

// Skip is a scenario that was left out, and why.
type Skip struct {
	Scenario string `json:"scenario"`
	Reason   string `json:"reason"`
}

// PlanFor accounts for the planned scenarios from the verdicts.
func PlanFor(planned []string, verdicts []reach.Verdict) Plan {
	plan := Plan{Planned: slices.Clone(planned), Run: []string{}}
	for _, v := range verdicts {
		if v.Result == reach.Skipped {
			plan.Skipped = append(plan.Skipped, Skip{Scenario: v.Scenario, Reason: skipReason(v)})
			continue
		}
		plan.Run = append(plan.Run, v.Scenario)
	}
	return plan
}

func skipReason(v reach.Verdict) string {
	if v.Skip != "" {
		return v.Skip
	}
	for _, s := range v.Steps {
		if s.Why != "" {
			return s.Why
		}
	}
	return "no reason was given"
}

// Lost are the planned scenarios without a verdict and without a reason for having none.
func (r Run) Lost() []string {
	known := map[string]bool{}
	for _, v := range r.Verdicts {
		known[v.Scenario] = true
	}
	for _, s := range r.Plan.Skipped {
		known[s.Scenario] = true
	}
	var lost []string
	for _, name := range r.Plan.Planned {
		if !known[name] {
			lost = append(lost, name)
			known[name] = true
		}
	}
	return lost
}

// Skips are the scenarios that were left out, each once: those of the plan, then those of the verdicts.
func (r Run) Skips() []Skip {
	var skips []Skip
	seen := map[string]bool{}
	add := func(s Skip) {
		if !seen[s.Scenario] {
			seen[s.Scenario] = true
			skips = append(skips, s)
		}
	}
	for _, s := range r.Plan.Skipped {
		add(s)
	}
	for _, v := range r.Verdicts {
		if v.Result == reach.Skipped {
			add(Skip{Scenario: v.Scenario, Reason: skipReason(v)})
		}
	}
	return skips
}

// Result is the worst of the verdicts. A run in which no scenario ran is Inconclusive, whatever was skipped; one
// that lost a planned scenario is at best Inconclusive.
func (r Run) Result() reach.Result {
	result := reach.Skipped
	for _, v := range r.Verdicts {
		result = reach.Worse(result, v.Result)
	}
	if result == reach.Skipped {
		return reach.Inconclusive
	}
	if len(r.Lost()) > 0 {
		result = reach.Worse(result, reach.Inconclusive)
	}
	return result
}
