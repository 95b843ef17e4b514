package checks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/svclab/svclab/e2e/reach"
)

// collectionArgs are those of the check delete-collection.
type collectionArgs struct {
	Selector string `json:"selector"`
	// Names are all Services of the scenario's namespace that the selector selects.
	Names []string `json:"names"`
}

// deleteCollection lists Services across namespaces, deletes them in one request, and returns an error unless a watch reports
// each deletion.
func deleteCollection(ctx context.Context, env Env, args collectionArgs) ([]string, error) {
	if len(args.Names) == 0 {
		return nil, errors.New("names are missing")
	}
	want := slices.Sorted(slices.Values(args.Names))
	selected := metav1.ListOptions{LabelSelector: args.Selector}
	everywhere, err := env.Client.CoreV1().Services(metav1.NamespaceAll).List(ctx, selected)
	if err != nil {
		return nil, fmt.Errorf("list services of all namespaces: %w", err)
	}
	var listed []string
	for i := range everywhere.Items {
		if everywhere.Items[i].Namespace == env.Namespace {
			listed = append(listed, everywhere.Items[i].Name)
		}
	}
	if slices.Sort(listed); !slices.Equal(listed, want) {
		return nil, reach.Failf("listed across namespaces: %v, want %v", listed, want)
	}
	services := env.Client.CoreV1().Services(env.Namespace)
	selected.ResourceVersion = everywhere.ResourceVersion
	watching, err := services.Watch(ctx, selected)
	if err != nil {
		return nil, fmt.Errorf("watch services: %w", err)
	}
	defer watching.Stop()
	// client-go's typed client of Services has no DeleteCollection
	if err := env.Dynamic.Resource(corev1.SchemeGroupVersion.WithResource("services")).Namespace(env.Namespace).DeleteCollection(ctx, metav1.DeleteOptions{},
		metav1.ListOptions{LabelSelector: args.Selector}); err != nil {
		return nil, fmt.Errorf("delete services with %s: %w", args.Selector, err)
	}
	deleted, err := deletions(ctx, watching.ResultChan(), len(want))
	if err != nil {
		return nil, err
	}
	if slices.Sort(deleted); !slices.Equal(deleted, want) {
		return nil, reach.Failf("the watch reported the deletion of %v, want %v", deleted, want)
	}
	left, err := services.List(ctx, metav1.ListOptions{LabelSelector: args.Selector})
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	if len(left.Items) > 0 {
		return nil, reach.Failf("%d services are left after all were deleted, first %s", len(left.Items), left.Items[0].Name)
	}
	return []string{"listed across namespaces, deleted in one request, and reported by the watch: " + strings.Join(want, ", ")}, nil
}

// deletions reads a watch until it has reported n deletions.
func deletions(ctx context.Context, events <-chan watch.Event, n int) ([]string, error) {
	var names []string
	for len(names) < n {
		select {
		case <-ctx.Done():
			return nil, reach.Failf("the watch reported %d of %d deletions: %v", len(names), n, names)
		case event, open := <-events:
			if !open {
				return nil, fmt.Errorf("the watch ended after %d of %d deletions", len(names), n)
			}
			if object, ok := event.Object.(metav1.Object); ok && event.Type == watch.Deleted {
				names = append(names, object.GetName())
			}
		}
	}
	return names, nil
}
