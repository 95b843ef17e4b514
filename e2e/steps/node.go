package steps

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/scenario"
)

// Node acts on a node of the lab's own cluster. One that is stopped is started again when the scenario ends, at the
// latest.
type Node struct {
	// Slot is the node's, or Announcer: the node that announces the load-balancer address of Service when a step first
	// says so, and the same node in every later step.
	Slot    string `json:"slot"`
	Service string `json:"service,omitempty"`
	// Action is start, stop or restart (the whole node), restart-api-server (on the control plane), or exec.
	Action string `json:"action"`
	// Command is run on the node, for exec; it must end with exit code 0.
	Command []string `json:"command,omitempty"`
}

// Announcer is a Node.Slot that only the run knows.
const Announcer = "announcer"

// Validate wants a slot and a known action, in a scenario that runs alone.
func (n Node) Validate(in scenario.Scenario) error {
	if n.Slot != Announcer && !scenario.IsSlot(n.Slot) {
		return fmt.Errorf("node slot %q: want control-plane, worker, worker2, … or %s", n.Slot, Announcer)
	}
	if n.Slot != Announcer && n.Service != "" {
		return fmt.Errorf("node service goes with slot %s", Announcer)
	}
	if !slices.Contains([]string{"start", "stop", "restart", "restart-api-server", "exec"}, n.Action) {
		return fmt.Errorf("node action %q: want start, stop, restart, restart-api-server or exec", n.Action)
	}
	if (n.Action == "exec") != (len(n.Command) > 0) {
		return errors.New("node command goes with action exec")
	}
	if !in.MayDisturbAlone() {
		return errors.New("nodes may be touched only with serial: true and needs.features: [nodeControl]")
	}
	return nil
}

// Describe says what is done to which node.
func (n Node) Describe() string {
	if n.Action == "exec" {
		return fmt.Sprintf("run on node %s: %s", n.Slot, strings.Join(n.Command, " "))
	}
	return n.Action + " node " + n.Slot
}

// ReadOnly is false.
func (Node) ReadOnly() bool { return false }

// Uses pairs a stop with the start that follows it.
func (n Node) Uses(scenario.Scenario) scenario.Uses {
	p := scenario.Pair{Thing: "node " + n.Slot, First: "stop", Second: "start"}
	switch n.Action {
	case "stop":
		p.Role = scenario.Begins
	case "start":
		p.Role = scenario.Ends
	default:
		return scenario.Uses{}
	}
	return scenario.Uses{Pairs: []scenario.Pair{p}}
}
