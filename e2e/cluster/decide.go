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
)

// markerPath is the file on the control plane's node that says that creation came to its end.
const markerPath = "/kind/svclab/cluster.json"

// marker is the content of that file.
type marker struct {
	Name    string `json:"name"`
	Config  string `json:"config"`
	Summary string `json:"summary"`
}

// found is what there is in the engine under a cluster's name.
type found struct {
	// Nodes are the containers that carry kind's label with the name, Others svclab's beside them.
	Nodes, Others []docker.Container
	// Networks are those with the name.
	Networks []docker.Network
	// Marker is the control plane's, nil where it has none.
	Marker *marker
	// Intent: svclab noted on this machine that it began to make a cluster of that name.
	Intent bool
}

// look finds what there is, changing nothing.
func (c *Cluster) look(ctx context.Context) (found, error) {
	var (
		f            found
		err          error
		engine, name = c.engine, c.settings.Name
	)
	if _, err := os.Stat(c.settings.intent()); err == nil {
		f.Intent = true
	}
	if f.Nodes, err = engine.Containers(ctx, "label="+kind.Label+"="+name); err != nil {
		return f, fmt.Errorf("look for cluster %s: %w", name, err)
	}
	if f.Others, err = engine.Containers(ctx, "label="+ownerLabel+"="+name); err != nil {
		return f, fmt.Errorf("look for cluster %s: %w", name, err)
	}
	if f.Networks, err = engine.Networks(ctx, name); err != nil {
		return f, fmt.Errorf("look for cluster %s: %w", name, err)
	}
	for _, node := range f.Nodes {
		if node.Name != name+"-control-plane" {
			continue
		}
		text, err := engine.CopyFrom(ctx, node.Name, markerPath)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return f, fmt.Errorf("look for cluster %s: %w", name, err)
		}
		f.Marker = &marker{}
		if err := json.Unmarshal(text, f.Marker); err != nil {
			return f, fmt.Errorf("read %s on %s: %w", markerPath, node.Name, err)
		}
	}
	return f, nil
}

// ours is the network of that name that svclab made.
func (f found) ours(name string) (docker.Network, bool) {
	for _, n := range f.Networks {
		if n.Labels[ownerLabel] == name {
			return n, true
		}
	}
	return docker.Network{}, false
}

// empty reports whether nothing of a cluster is there.
func (f found) empty() bool { return len(f.Nodes)+len(f.Others)+len(f.Networks) == 0 }

// action is what is to be done about a cluster.
type action string

const (
	create   action = "create"   // there is none
	reuse    action = "reuse"    // it is the wanted one and runs
	start    action = "start"    // it is the wanted one but does not run
	recreate action = "recreate" // it is svclab's, but not the wanted one or not whole
	refuse   action = "refuse"   // it is not svclab's
)

// decision is an action and why.
type decision struct {
	Action action
	Why    string
}

// decide says what is to be done when f was found and want, with those nodes, is wanted. A cluster is svclab's when each
// of its nodes stands on the network that svclab labelled before it made the first of them. Where that network
// is gone (docker network prune takes it while the nodes are stopped; nodes that the engine was still making when svclab
// was killed outlive it) the marker on the control plane says it, or the intent noted on this machine.
func decide(f found, want marker, nodes []string) decision {
	_, ours := f.ours(want.Name)
	if len(f.Nodes) == 0 {
		if len(f.Networks) > 0 && !ours {
			return decision{refuse, fmt.Sprintf("a Docker network called %s exists, and svclab did not make it", want.Name)}
		}
		return decision{create, "there is none"}
	}
	marked := f.Marker != nil && f.Marker.Name == want.Name
	for _, node := range f.Nodes {
		_, attached := node.Networks[want.Name]
		begun := ours || f.Intent && len(f.Networks) == 0
		if !marked && (!begun || !attached) {
			return decision{refuse, fmt.Sprintf("a kind cluster called %s exists (node %s), and svclab did not make it", want.Name, node.Name)}
		}
	}
	var names, stopped []string
	for _, node := range f.Nodes {
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
	case f.Marker.Config != want.Config:
		return decision{recreate, fmt.Sprintf("its configuration changed from (%s) to (%s)", f.Marker.Summary, want.Summary)}
	case !slices.Equal(names, nodes):
		return decision{recreate, fmt.Sprintf("its nodes are %s, not %s", strings.Join(names, " "), strings.Join(nodes, " "))}
	case len(stopped) > 0:
		return decision{start, strings.Join(stopped, ", ")}
	}
	return decision{reuse, "it is the one wanted"}
}

// foreign is the error for a refusal.
func foreign(name, why string) error {
	return problem(ErrForeignCluster, fmt.Sprintf("use another name for svclab's cluster, or remove that one yourself (kind delete cluster --name %s)", name),
		"%s; svclab leaves it alone", why)
}
