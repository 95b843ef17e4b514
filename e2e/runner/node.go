package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/e2e/table"
	"github.com/svclab/svclab/e2e/world"
)

// nodeBack is how much longer cleaning up may take where a node has to be started.
const nodeBack = 2 * time.Minute

// node acts on a node. One that is stopped, or may be half way through a restart, is noted until it runs again: see
// startNodes.
func (s *session) node(ctx context.Context, n steps.Node) (stepReport, error) {
	if n.Action == "exec" {
		return s.nodeExec(ctx, n)
	}
	controller, ok := s.runner.cluster.(NodeController)
	if !ok {
		return stepReport{}, errors.New("this cluster's nodes cannot be stopped or started")
	}
	slot, err := s.slotOf(ctx, n)
	if err != nil {
		return stepReport{}, err
	}
	s.progress.say(fmt.Sprintf("node %s to %s", slot, n.Action), "")
	defer s.progress.say("", "")
	if (n.Action == "stop" || n.Action == "restart") && !slices.Contains(s.down, slot) {
		s.down = append(s.down, slot)
	}
	if err := controller.ControlNode(ctx, slot, n.Action); err != nil {
		return stepReport{}, fmt.Errorf("%s node %s: %w", n.Action, slot, err)
	}
	if n.Action == "start" || n.Action == "restart" {
		s.down = slices.DeleteFunc(s.down, func(down string) bool { return down == slot })
	}
	return stepReport{lines: []string{fmt.Sprintf("%s: node %s", n.Action, slot)}}, nil
}

// slotOf is the slot of the node that is meant. The announcer is found out once and then kept.
func (s *session) slotOf(ctx context.Context, n steps.Node) (string, error) {
	if n.Slot != steps.Announcer {
		return n.Slot, nil
	}
	if s.announcer != "" {
		return s.announcer, nil
	}
	w, err := s.snapshot(ctx)
	if err != nil {
		return "", err
	}
	service, found := w.Service(s.namespace + "/" + n.Service)
	if !found {
		return "", fmt.Errorf("there is no service %q", n.Service)
	}
	for _, ingress := range world.Ingresses(&service) {
		if node := w.Announcers[ingress.Addr]; node != "" {
			s.announcer = w.Slot(node)
			return s.announcer, nil
		}
	}
	return "", fmt.Errorf("no node announces a load-balancer address of service %s", n.Service)
}

// startNodes starts the nodes that the scenario stopped and did not start again.
func (s *session) startNodes(ctx context.Context) error {
	var errs []error
	for _, slot := range slices.Clone(s.down) {
		if _, err := s.node(ctx, steps.Node{Slot: slot, Action: "start"}); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *session) nodeExec(ctx context.Context, n steps.Node) (stepReport, error) {
	commander, ok := s.runner.cluster.(Commander)
	if !ok {
		return stepReport{}, errors.New("no program can be run on this cluster's nodes")
	}
	slot, err := s.slotOf(ctx, n)
	if err != nil {
		return stepReport{}, err
	}
	v, found := table.Site{Vantages: s.vantages}.Client("node/" + slot)
	if !found {
		return stepReport{}, fmt.Errorf("there is no vantage node/%s", slot)
	}
	var out bytes.Buffer
	err = commander.Exec(ctx, v, n.Command, io.MultiReader(), &out, &out)
	report := stepReport{lines: []string{"$ " + strings.Join(n.Command, " ")}}
	for line := range strings.Lines(out.String()) {
		report.lines = append(report.lines, strings.TrimRight(line, "\n"))
	}
	if err != nil {
		return report, fmt.Errorf("run %v on node %s: %w", n.Command, slot, err)
	}
	return report, nil
}
