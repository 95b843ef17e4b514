// Package scenario loads manifests/scenarios into values. A scenario is a folder: scenario.yaml says what
// is done in which order, the other YAML files are manifests a reader can use with kubectl as they are, and
// expect.yaml holds the hand-written tables of what must be observed. Package mutants loads mutants.yaml. Loading is strict: an unknown field,
// an unused file, an unused table and a missing claim are errors, found without a cluster.
package scenario

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// Feature is something a cluster may have and a scenario may need.
type Feature string

// The features.
const (
	// Outside: a vantage on the nodes' layer-2 network that is not in the cluster, and the server behind example.com.
	Outside Feature = "outside"
	// LoadBalancer: a controller gives Services of type LoadBalancer an address.
	LoadBalancer Feature = "loadBalancer"
	// NodeControl: the cluster is the lab's own, so nodes and cluster-wide objects may be disturbed.
	NodeControl Feature = "nodeControl"
	// DualStack: Services and pods have addresses of both IP families.
	DualStack Feature = "dualStack"
	// SingleStack: they have addresses of one IP family only.
	SingleStack Feature = "singleStack"
)

// Features lists every feature a scenario can need.
func Features() []Feature {
	return []Feature{Outside, LoadBalancer, NodeControl, DualStack, SingleStack}
}

// Scenario is one folder of manifests/scenarios, loaded and checked.
type Scenario struct {
	// Name is the folder's name.
	Name string `json:"-"`
	// Title says in one sentence what is proven.
	Title string `json:"title"`
	// Behaviours are IDs of Behaviours() that the scenario verifies.
	Behaviours []string `json:"behaviours"`
	Needs      Needs    `json:"needs,omitempty"`
	// Claims are cluster-wide things the scenario must have for itself, as "nodePort/30080". Two scenarios
	// that claim the same never run at once.
	Claims []string `json:"claims,omitempty"`
	// Shares are things that other scenarios may share at the same time, but not claim: "loadBalancerPool".
	Shares []string `json:"shares,omitempty"`
	// Serial is set where the cluster itself is touched (a node, kube-proxy, a pool): it runs alone, once it has been set up.
	Serial bool   `json:"serial,omitempty"`
	Steps  []Step `json:"steps"`

	// Objects are the manifests, by the name steps use: "service.yaml", or "app/my-app.yaml" for shared ones.
	Objects map[string][]*unstructured.Unstructured `json:"-"`
	// Tables are expect.yaml's, by name.
	Tables map[string]Table `json:"-"`
}

// Needs is what a cluster must have for the scenario to be run; where it lacks something the scenario is
// skipped with that reason.
type Needs struct {
	// Nodes is the least number of schedulable nodes.
	Nodes    int       `json:"nodes,omitempty"`
	Features []Feature `json:"features,omitempty"`
	// ProxyModes, when set, are the kube-proxy modes the scenario is about.
	ProxyModes []string `json:"proxyModes,omitempty"`
}
