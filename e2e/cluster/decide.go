package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/cluster/docker"
	"github.com/svclab/svclab/e2e/cluster/kind"
)

// The labels that svclab puts on its network and on the outside world's containers.
const (
	ownerLabel   = "io.svclab.cluster" // the cluster's name
	configLabel  = "io.svclab.config"  // the fingerprint of what cannot be changed live
	summaryLabel = "io.svclab.summary" // the same for people
	runLabel     = "io.svclab.run"     // the run of the suite that made it, see Use
)

// markerPath is the file on the control plane's node that says that creation came to its end.
const markerPath = "/kind/svclab/cluster.json"

// marker is the content of that file.
type marker struct {
	Name    string `json:"name"`
	Config  string `json:"config"`
	Summary string `json:"summary"`
}

// actual is what the engine has under a cluster's name.
type actual struct {
	// Nodes are the containers that carry kind's label with the name, Others svclab's own next to them.
	Nodes, Others []docker.Container
	// Networks are those with the name.
	Networks []docker.Network
	// Marker is the control plane's, nil where it has none.
	Marker *marker
	// Intent: a file on this machine says that svclab began to make a cluster of that name.
	Intent bool
}

// inspect reads what the engine has. It changes nothing.
func (c *Cluster) inspect(ctx context.Context) (have actual, err error) {
	engine, name := c.engine, c.settings.Name
	defer func() {
		if err != nil {
			err = fmt.Errorf("inspect cluster %s: %w", name, err)
		}
	}()
	intent, err := c.intent()
	if err != nil {
		return have, err
	}
	if _, err := os.Stat(intent); err == nil {
		have.Intent = true
	}
	if have.Nodes, err = engine.Containers(ctx, "label="+kind.Label+"="+name); err != nil {
		return have, err
	}
	if have.Others, err = engine.Containers(ctx, "label="+ownerLabel+"="+name); err != nil {
		return have, err
	}
	if have.Networks, err = engine.Networks(ctx, name); err != nil {
		return have, err
	}
	for _, node := range have.Nodes {
		if node.Name != name+"-control-plane" {
			continue
		}
		text, err := engine.CopyFrom(ctx, node.Name, markerPath)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return have, err
		}
		have.Marker = &marker{}
		if err := json.Unmarshal(text, have.Marker); err != nil {
			return have, fmt.Errorf("read %s on %s: %w", markerPath, node.Name, err)
		}
	}
	return have, nil
}

// ours is the network of that name that svclab made.
func (have actual) ours(name string) (docker.Network, bool) {
	for _, n := range have.Networks {
		if n.Labels[ownerLabel] == name {
			return n, true
		}
	}
	return docker.Network{}, false
}

// empty reports whether nothing of a cluster is there.
func (have actual) empty() bool { return len(have.Nodes)+len(have.Others)+len(have.Networks) == 0 }

// action is what is to be done about a cluster.
type action string

const (
	create   action = "create"   // no cluster exists
	reuse    action = "reuse"    // it is as configured and runs
	start    action = "start"    // it is as configured but does not run
	recreate action = "recreate" // it is svclab's, but not as configured or not whole
	refuse   action = "refuse"   // it is not svclab's
)

// decision is an action and why.
type decision struct {
	Action action
	Why    string
}

// decide says what to do when the engine has have and the settings describe want, with those nodes. A cluster is svclab's when each
// of its nodes stands on the network that svclab labelled before it made the first of them. Where that network
// is gone (docker network prune takes it while the nodes are stopped; nodes that the engine was still making when svclab
// was killed outlive it) the marker on the control plane says it, or the intent file on this machine.
func decide(have actual, want marker, nodes []string) decision {
	_, ours := have.ours(want.Name)
	if len(have.Nodes) == 0 {
		if len(have.Networks) > 0 && !ours {
			return decision{refuse, fmt.Sprintf("a Docker network called %s exists, and svclab did not make it", want.Name)}
		}
		return decision{create, "no cluster exists"}
	}
	marked := have.Marker != nil && have.Marker.Name == want.Name
	for _, node := range have.Nodes {
		_, attached := node.Networks[want.Name]
		begun := ours || have.Intent && len(have.Networks) == 0
		if !marked && (!begun || !attached) {
			return decision{refuse, fmt.Sprintf("a kind cluster called %s exists (node %s), and svclab did not make it", want.Name, node.Name)}
		}
	}
	var names, stopped []string
	for _, node := range have.Nodes {
		names = append(names, node.Name)
		if node.State != "running" {
			stopped = append(stopped, fmt.Sprintf("%s is %s", node.Name, node.State))
		}
	}
	slices.Sort(names)
	slices.Sort(stopped)
	slices.Sort(nodes)
	switch {
	case !marked:
		return decision{recreate, "its creation was interrupted"}
	case !ours:
		return decision{recreate, "its Docker network is gone"}
	case have.Marker.Config != want.Config:
		return decision{recreate, fmt.Sprintf("its configuration changed from (%s) to (%s)", have.Marker.Summary, want.Summary)}
	case !slices.Equal(names, nodes):
		return decision{recreate, fmt.Sprintf("its nodes are %s, not %s", strings.Join(names, " "), strings.Join(nodes, " "))}
	case len(stopped) > 0:
		return decision{start, strings.Join(stopped, ", ")}
	}
	return decision{reuse, "it is as configured"}
}

// foreign is the error for a refusal.
func foreign(name, why string) error {
	return problem(ErrForeignCluster, fmt.Sprintf("use another name for svclab's cluster, or remove that one yourself (kind delete cluster --name %s)", name),
		"%s; svclab leaves it alone", why)
}
