package dryrun

import (
	"encoding/json"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/e2e/world"
)

// do follows one step. Steps that only read, send requests, or must be refused change nothing. Of those that act on a node only a
// switch of its proxy mode does: every scenario starts a node again before it observes the next table.
func (m *model) do(sc scenario.Scenario, step scenario.Step) error {
	var err error
	switch action := step.Action.(type) {
	case steps.Apply:
		for _, file := range action {
			for _, o := range sc.Objects[file] {
				err = errors.Join(err, m.apply(o))
			}
		}
	case steps.Delete:
		for _, ref := range action {
			m.remove(kindOf(ref.Kind) + "/" + ref.Name)
		}
	case steps.Patch:
		err = m.patchStep(action)
	case steps.Scale:
		err = m.scale(kindOf(action.Object.Kind)+"/"+action.Object.Name, action.Replicas)
	case steps.ReplacePods:
		err = m.replacePods(action)
	case steps.Run:
		if action.Exit == 0 {
			err = m.kubectl(action.Command)
		}
	case steps.Withhold:
		m.poolGone, err = true, poolsOnly(action)
	case steps.Restore:
		m.poolGone, err = false, poolsOnly(action)
	case steps.Node:
		m.control(action)
	case steps.Reject, steps.Settle, steps.Traffic:
	default:
		if !action.ReadOnly() {
			err = fmt.Errorf("the kind of step is not modelled: %s", action.Describe())
		}
	}
	if err != nil {
		return err
	}
	return m.reconcile()
}

// control switches the proxy mode of a node.
func (m *model) control(n steps.Node) {
	switch n.Action {
	case steps.OwnProxyMode:
		delete(m.modes, nodeName(n.Slot))
	case steps.OtherProxyMode:
		m.modes[nodeName(n.Slot)] = world.OtherMode(m.lab.mode)
	}
}

// isPool reports whether an object of another namespace is an address pool of MetalLB.
func isPool(ref scenario.Ref) bool { return kindOf(ref.Kind) == "ipaddresspool" }

// poolsOnly refuses to withhold or restore anything but address pools: the model has no other cluster-wide objects.
func poolsOnly(refs []scenario.Ref) error {
	for _, ref := range refs {
		if !isPool(ref) {
			return fmt.Errorf("what follows from withholding %s is not modelled", ref)
		}
	}
	return nil
}

// patchStep changes an object of the scenario's, a node, or whether the address pools are open.
func (m *model) patchStep(p steps.Patch) error {
	var body any
	if err := json.Unmarshal(p.Body, &body); err != nil {
		return fmt.Errorf("patch %s: %w", p.Object, err)
	}
	if isPool(p.Object) {
		var pool struct {
			Spec struct {
				AutoAssign *bool `json:"autoAssign"`
			} `json:"spec"`
		}
		if err := scenario.DecodeStrict(p.Body, &pool); err != nil || pool.Spec.AutoAssign == nil {
			return fmt.Errorf("of an address pool only spec.autoAssign is modelled: %s", p.Body)
		}
		m.poolClosed = !*pool.Spec.AutoAssign
		return nil
	}
	filled, err := m.site().FillValue(body)
	if err != nil {
		return fmt.Errorf("patch %s: %w", p.Object, err)
	}
	data, err := json.Marshal(filled)
	if err != nil {
		return err
	}
	return m.patch(kindOf(p.Object.Kind)+"/"+p.Object.Name, p.Type, p.Subresource, data)
}

func (m *model) scale(key string, replicas int32) error {
	switch o := m.objects[key].(type) {
	case *appsv1.Deployment:
		o.Spec.Replicas = &replicas
	case *appsv1.StatefulSet:
		o.Spec.Replicas = &replicas
	default:
		return fmt.Errorf("scale %s: there is no such workload", key)
	}
	return nil
}

// replacePods removes the selected pods; their workloads make new ones, with other names and addresses.
func (m *model) replacePods(r steps.ReplacePods) error {
	selector, err := labels.Parse(r.Selector)
	if err != nil || r.Namespace != "" { // the pods of another namespace are in no table
		return err
	}
	for _, pod := range all[*corev1.Pod](m) {
		if selector.Matches(labels.Set(pod.Labels)) && (r.Slot == "" || pod.Spec.NodeName == nodeName(r.Slot)) {
			m.remove("pod/" + pod.Name)
		}
	}
	return nil
}
