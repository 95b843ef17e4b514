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
	"github.com/svclab/svclab/labs/progress"
)

// notes is the file of a cluster's objects as they were. Its name has the cluster's UID: those of a cluster that is no
// more are never put into another.
type notes struct {
	Noted []runner.Noted `json:"noted"`
}

// essentials are the objects outside an exercise that all exercises need, and that a learner may delete.
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
	return filepath.Join(r.Notes, "cluster-"+string(system.UID)+".json"), nil
}

func (r Environment) load(ctx context.Context) (notes, error) {
	path, err := r.path(ctx)
	if err != nil {
		return notes{}, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return notes{}, nil
	}
	if err != nil {
		return notes{}, fmt.Errorf("read what the cluster was: %w", err)
	}
	var n notes
	if err := json.Unmarshal(data, &n); err != nil {
		return n, fmt.Errorf("what the cluster was, in %s, is damaged (%w); delete the file and make the cluster anew: svclab down && svclab up", path, err)
	}
	return n, nil
}

func (r Environment) save(ctx context.Context, n notes) error {
	path, err := r.path(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("note what the cluster is: %w", err)
	}
	if err := progress.Replace(path, data); err != nil {
		return fmt.Errorf("note what the cluster is: %w", err)
	}
	return nil
}

// note keeps the objects that the references name, and the essentials, as they are, unless they are kept already: what is
// kept is older, and so what was there before any exercise.
func (r Environment) note(ctx context.Context, refs []scenario.Ref) error {
	kept, err := r.load(ctx)
	if err != nil {
		return err
	}
	var missing []scenario.Ref
	for _, ref := range append(essentials(), refs...) {
		if !slices.ContainsFunc(kept.Noted, func(n runner.Noted) bool { return n.Ref == ref }) {
			missing = append(missing, ref)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	noted, err := r.Runner.Look(ctx, runner.Place{}, missing)
	if err != nil {
		return err
	}
	for _, n := range noted {
		if len(n.Objects) > 0 || !slices.Contains(essentials(), n.Ref) { // an essential that is gone is nothing to go back to
			kept.Noted = append(kept.Noted, n)
		}
	}
	return r.save(ctx, kept)
}

// restore makes everything noted what it was, and forgets all but the essentials.
func (r Environment) restore(ctx context.Context) error {
	kept, err := r.load(ctx)
	if err != nil || len(kept.Noted) == 0 {
		return err
	}
	if err := r.Runner.PutBack(ctx, runner.Place{}, kept.Noted); err != nil {
		return err
	}
	kept.Noted = slices.DeleteFunc(kept.Noted, func(n runner.Noted) bool { return !slices.Contains(essentials(), n.Ref) })
	return r.save(ctx, kept)
}
