package lesson

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/progress"
)

// snapshots is the file with a cluster's objects from before any exercise changed them. Its name has the cluster's UID, so the
// snapshots of a cluster that was deleted are never restored into another one.
type snapshots struct {
	Snapshots []runner.Snapshot `json:"noted"`
	// Undo are the programs of the exercises that were begun since nodes were last restored: see course.Exercise.
	Undo []steps.Node `json:"undo,omitempty"`
}

// essentials are the objects of the cluster that every exercise needs and that a learner may delete.
func essentials() []scenario.Ref {
	return []scenario.Ref{
		{Namespace: "kube-system", Kind: "serviceaccount", Name: "coredns"},
		{Namespace: "kube-system", Kind: "configmap", Name: "coredns"},
		{Namespace: "kube-system", Kind: "deployment", Name: "coredns"},
		{Namespace: "kube-system", Kind: "service", Name: "kube-dns"},
		{Namespace: "kube-system", Kind: "daemonset", Name: "kube-proxy"},
	}
}

func (r Environment) path(ctx context.Context) (string, error) {
	system, err := r.Cluster.Client().CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("identify the cluster: %w", err)
	}
	return filepath.Join(r.Folder, "cluster-"+string(system.UID)+".json"), nil
}

func (r Environment) load(ctx context.Context) (s snapshots, err error) {
	path, err := r.path(ctx)
	if err != nil {
		return s, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read the snapshots of the cluster: %w", err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("the snapshots of the cluster, in %s, are damaged (%w); delete the file and create the cluster again: svclab down && svclab up", path, err)
	}
	return s, nil
}

func (r Environment) save(ctx context.Context, s snapshots) error {
	path, err := r.path(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(s)
	if err == nil {
		err = progress.Replace(path, data)
	}
	if err != nil {
		return fmt.Errorf("save the snapshots of the cluster: %w", err)
	}
	return nil
}

// snapshot saves the objects that the references name and the essentials, and the programs that undo what an exercise will do on
// nodes. A snapshot that exists is not replaced: it is older, and so it has the state from before any exercise.
func (r Environment) snapshot(ctx context.Context, refs []scenario.Ref, undo []steps.Node) error {
	saved, err := r.load(ctx)
	if err != nil {
		return err
	}
	var missing []scenario.Ref
	for _, ref := range append(essentials(), refs...) {
		if !slices.ContainsFunc(saved.Snapshots, func(s runner.Snapshot) bool { return s.Ref == ref }) {
			missing = append(missing, ref)
		}
	}
	if len(missing) == 0 && len(undo) == 0 {
		return nil
	}
	saved.Undo = append(saved.Undo, undo...)
	taken, err := r.Runner.Look(ctx, runner.Place{}, missing)
	if err != nil {
		return err
	}
	for _, s := range taken {
		if len(s.Objects) > 0 || !slices.Contains(essentials(), s.Ref) { // an essential that is missing is no state to restore
			saved.Snapshots = append(saved.Snapshots, s)
		}
	}
	return r.save(ctx, saved)
}

// undo undoes what exercises did on nodes.
func (r Environment) undo(ctx context.Context) error {
	saved, err := r.load(ctx)
	if err != nil || len(saved.Undo) == 0 {
		return err
	}
	undo := course.Part{Name: "undo", Title: "restore the nodes", Needs: scenario.Needs{Features: []scenario.Feature{scenario.NodeControl}}, Serial: true}
	for i, node := range saved.Undo {
		undo.Steps = append(undo.Steps, scenario.Step{Name: fmt.Sprintf("%d: %s", i+1, node.Describe()), Action: node})
	}
	if err := Done(r.Runner.In(ctx, runner.Place{}, undo)); err != nil {
		return err
	}
	saved.Undo = nil
	return r.save(ctx, saved)
}

// restore restores all snapshots, and then forgets all but those of the essentials.
func (r Environment) restore(ctx context.Context) error {
	saved, err := r.load(ctx)
	if err != nil || len(saved.Snapshots) == 0 {
		return err
	}
	if err := r.Runner.Restore(ctx, runner.Place{}, saved.Snapshots); err != nil {
		return err
	}
	saved.Snapshots = slices.DeleteFunc(saved.Snapshots, func(s runner.Snapshot) bool { return !slices.Contains(essentials(), s.Ref) })
	return r.save(ctx, saved)
}
