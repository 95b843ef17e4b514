package steps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/table"
	"github.com/svclab/svclab/e2e/world"
)

// Node acts on a node of the lab's own cluster. One that is stopped is started again when the scenario ends, at the
// latest.
type Node struct {
	// Slot is the node's, or Announcer: the node that announces the load-balancer address of Service when a step first
	// says so, and the same node in every later step.
	Slot    string `json:"slot"`
	Service string `json:"service,omitempty"`
	// Action is start, stop or restart (the whole node), restart-api-server (on the control plane), exec, other-proxy-mode (its
	// kube-proxy is started again in the mode that is not the cluster's), own-proxy-mode (in the cluster's) or one-proxy-mode (it
	// must have no rules of the mode in which its kube-proxy does not run).
	Action string `json:"action"`
	// Command is run on the node, for exec; it must end with exit code 0. Placeholders in its words are filled in.
	Command []string `json:"command,omitempty"`
}

// Announcer is a Node.Slot that only the run knows.
const Announcer = "announcer"

// The actions that switch the mode of a node's kube-proxy, and the one that looks for what that left.
const (
	OtherProxyMode = "other-proxy-mode"
	OwnProxyMode   = "own-proxy-mode"
	OneProxyMode   = "one-proxy-mode"
)

// Validate wants a slot and a known action, in a scenario that runs alone.
func (n Node) Validate(in scenario.Scenario) error {
	if n.Slot != Announcer && !scenario.IsSlot(n.Slot) {
		return fmt.Errorf("node slot %q: want control-plane, worker, worker2, … or %s", n.Slot, Announcer)
	}
	if n.Slot != Announcer && n.Service != "" {
		return fmt.Errorf("node service goes with slot %s", Announcer)
	}
	if !slices.Contains([]string{"start", "stop", "restart", "restart-api-server", "exec", OtherProxyMode, OwnProxyMode, OneProxyMode}, n.Action) {
		return fmt.Errorf("node action %q: want start, stop, restart, restart-api-server, exec, %s, %s or %s", n.Action, OtherProxyMode, OwnProxyMode, OneProxyMode)
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

// ReadOnly is false for what acts on the node.
func (n Node) ReadOnly() bool { return n.Action == OneProxyMode }

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

// Do acts on the node. One that is stopped, or may be half way through a restart, is recorded until it runs again: see
// StartNodes.
func (n Node) Do(ctx context.Context, env *Env) (Report, error) {
	if n.Action == "exec" {
		return n.exec(ctx, env)
	}
	if n.Action == OneProxyMode {
		return n.leftovers(ctx, env)
	}
	controller, ok := env.Cluster.(NodeController)
	if !ok {
		return Report{}, errors.New("this cluster's nodes cannot be stopped or started")
	}
	slot, err := n.slot(ctx, env)
	if err != nil {
		return Report{}, err
	}
	env.Progress.Say(fmt.Sprintf("node %s to %s", slot, n.Action), "")
	defer env.Progress.Say("", "")
	if (n.Action == "stop" || n.Action == "restart") && !slices.Contains(env.down, slot) {
		env.down = append(env.down, slot)
	}
	if err := controller.ControlNode(ctx, slot, n.Action); err != nil {
		return Report{}, fmt.Errorf("%s node %s: %w", n.Action, slot, err)
	}
	if n.Action == "start" || n.Action == "restart" {
		env.down = slices.DeleteFunc(env.down, func(down string) bool { return down == slot })
	}
	return Report{Lines: []string{fmt.Sprintf("%s: node %s", n.Action, slot)}}, nil
}

// leftovers looks for rules of the mode in which the node's kube-proxy does not run.
func (n Node) leftovers(ctx context.Context, env *Env) (Report, error) {
	reader, ok := env.Cluster.(RuleReader)
	if !ok {
		return Report{}, errors.New("the packet filters of this cluster's nodes cannot be read")
	}
	slot, err := n.slot(ctx, env)
	if err != nil {
		return Report{}, err
	}
	facts, err := env.Cluster.Facts(ctx)
	if err != nil {
		return Report{}, err
	}
	left, err := reader.ProxyLeftovers(ctx, facts.Slots[slot])
	if err != nil {
		return Report{}, err
	}
	if len(left) > 0 {
		return Report{Lines: left}, reach.Failf("kube-proxy has left rules of its other mode on %s: %s", facts.Slots[slot], strings.Join(left, ", "))
	}
	return Report{Lines: []string{fmt.Sprintf("%s has rules of %s mode only", facts.Slots[slot], facts.ModeOf(facts.Slots[slot]))}}, nil
}

// slot is the slot of the node that is meant. The announcer is found out once and then kept.
func (n Node) slot(ctx context.Context, env *Env) (string, error) {
	if n.Slot != Announcer {
		return n.Slot, nil
	}
	if env.announcer != "" {
		return env.announcer, nil
	}
	w, err := env.snapshot(ctx)
	if err != nil {
		return "", err
	}
	service, found := w.Service(env.Namespace + "/" + n.Service)
	if !found {
		return "", fmt.Errorf("there is no service %q", n.Service)
	}
	for _, ingress := range world.Ingresses(&service) {
		if node := w.Announcers[ingress.Addr]; node != "" {
			env.announcer = w.Slot(node)
			return env.announcer, nil
		}
	}
	return "", fmt.Errorf("no node announces a load-balancer address of service %s", n.Service)
}

// StartNodes starts the nodes that the scenario stopped and did not start again.
func (env *Env) StartNodes(ctx context.Context) error {
	var errs []error
	for _, slot := range slices.Clone(env.down) {
		if _, err := (Node{Slot: slot, Action: "start"}).Do(ctx, env); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (n Node) exec(ctx context.Context, env *Env) (Report, error) {
	commander, ok := env.Cluster.(Commander)
	if !ok {
		return Report{}, errors.New("no program can be run on this cluster's nodes")
	}
	slot, err := n.slot(ctx, env)
	if err != nil {
		return Report{}, err
	}
	v, found := table.Site{Vantages: env.Vantages}.Client("node/" + slot)
	if !found {
		return Report{}, fmt.Errorf("there is no vantage node/%s", slot)
	}
	command := slices.Clone(n.Command)
	for i, word := range command {
		filled, err := env.fillIn(ctx, word)
		if err != nil {
			return Report{}, err
		}
		command[i] = filled.(string) // as it was
	}
	var out bytes.Buffer
	err = commander.Exec(ctx, v, command, io.MultiReader(), &out, &out)
	report := Report{Lines: []string{"$ " + strings.Join(command, " ")}}
	for line := range strings.Lines(out.String()) {
		report.Lines = append(report.Lines, strings.TrimRight(line, "\n"))
	}
	if err != nil {
		return report, fmt.Errorf("run %v on node %s: %w", command, slot, err)
	}
	return report, nil
}
