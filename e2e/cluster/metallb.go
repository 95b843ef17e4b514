package cluster

import (
	"context"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/tools/cache"

	"github.com/svclab/svclab/e2e/cluster/docker"
	"github.com/svclab/svclab/e2e/cluster/kind"
)

// metalLBNamespace is the one that MetalLB's own manifest makes.
const metalLBNamespace = "metallb-system"

// PoolSize is how many addresses of each IP family Services of type LoadBalancer can have.
const PoolSize = 20

// ensureMetalLB sees to it that MetalLB runs in layer-2 mode and has a pool of the nodes' network.
func (c *Cluster) ensureMetalLB(ctx context.Context) error {
	text, err := os.ReadFile(c.settings.Images.MetalLBManifest)
	if err != nil {
		return fmt.Errorf("read MetalLB's manifest: %w", err)
	}
	objects, err := decode(text)
	if err != nil {
		return fmt.Errorf("read MetalLB's manifest: %w", err)
	}
	if err := lookSooner(objects); err != nil {
		return fmt.Errorf("read MetalLB's manifest: %w", err)
	}
	// MetalLB would make these itself, but its pods would notice a minute later: kubelets look at Secrets that are
	// mounted, or cannot be mounted, ever more seldom
	secrets, err := metalLBSecrets()
	if err != nil {
		return err
	}
	if err := c.createMissing(ctx, objects, secrets); err != nil {
		return err
	}
	if err := c.applyUntilAdmitted(ctx, "MetalLB's objects are admitted", objects); err != nil {
		return err
	}
	group, waiting := errgroup.WithContext(ctx)
	group.Go(func() error {
		return watchObjects(waiting, c.waiter, "MetalLB's controller is ready", metalLBIn, c.appsWatch("deployments", metalLBNamespace), deploymentReady("controller"))
	})
	group.Go(func() error {
		return watchObjects(waiting, c.waiter, "MetalLB's speakers are ready", metalLBIn, c.appsWatch("daemonsets", metalLBNamespace), func(sets []*appsv1.DaemonSet) (string, bool) {
			return daemonSetReady(sets, "speaker", len(c.nodeNames()))
		})
	})
	// the webhook answers once the controller does, so this waits for that too
	group.Go(func() error { return c.SetPool(waiting) })
	return group.Wait()
}

// createMissing creates the Secrets that are not there, in the namespace that is among objects.
func (c *Cluster) createMissing(ctx context.Context, objects []*unstructured.Unstructured, secrets []*corev1.Secret) error {
	namespaces := slices.DeleteFunc(slices.Clone(objects), func(o *unstructured.Unstructured) bool { return o.GetKind() != "Namespace" })
	if err := c.applyUntilAdmitted(ctx, "MetalLB's namespace is admitted", namespaces); err != nil {
		return err
	}
	for _, secret := range secrets {
		_, err := c.client.CoreV1().Secrets(metalLBNamespace).Create(ctx, secret, metav1.CreateOptions{FieldManager: fieldManager})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create the Secret %s: %w", secret.Name, err)
		}
	}
	return nil
}

// lookSooner has kubelets ask MetalLB's pods whether they are ready from the first second on, not from the tenth.
func lookSooner(objects []*unstructured.Unstructured) error {
	for _, object := range objects {
		if kind := object.GetKind(); kind != "Deployment" && kind != "DaemonSet" {
			continue
		}
		containers, _, err := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
		if err != nil {
			return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
		for _, container := range containers {
			probe, ok := container.(map[string]any)["readinessProbe"].(map[string]any)
			if ok {
				probe["initialDelaySeconds"], probe["periodSeconds"] = int64(1), int64(2)
			}
		}
		if err := unstructured.SetNestedSlice(object.Object, containers, "spec", "template", "spec", "containers"); err != nil {
			return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

// SetPool sees to it that MetalLB has its pool and announces it: after Up, or after a test took it away.
func (c *Cluster) SetPool(ctx context.Context) error {
	ranges, err := c.Pool(ctx)
	if err != nil {
		return err
	}
	text, err := kind.Render(c.settings.Manifests, "metallb/pool.yaml.tmpl", struct{ Ranges []docker.Range }{ranges})
	if err != nil {
		return err
	}
	pool, err := decode(text)
	if err != nil {
		return fmt.Errorf("manifests/metallb/pool.yaml.tmpl: %w", err)
	}
	return c.applyUntilAdmitted(ctx, "MetalLB's webhook admits the address pool", pool)
}

// Pool is the addresses that Services of type LoadBalancer get, IPv4 first.
func (c *Cluster) Pool(ctx context.Context) ([]docker.Range, error) {
	network, err := c.dockerNetwork(ctx)
	if err != nil {
		return nil, err
	}
	return network.Pools(PoolSize, c.settings.Family == Dual)
}

// applyUntilAdmitted applies objects again and again for as long as what refuses them may come round.
func (c *Cluster) applyUntilAdmitted(ctx context.Context, what string, objects []*unstructured.Unstructured) error {
	var final error
	err := c.until(ctx, what, metalLBIn, func(ctx context.Context) (string, bool, error) {
		err := c.apply(ctx, objects)
		if err != nil && !later(err) && ctx.Err() == nil {
			final = err
			return "", true, nil
		}
		return "", err == nil, err
	})
	if err == nil {
		err = final
	}
	return err
}

func (c *Cluster) appsWatch(resource, namespace string) cache.ListerWatcher {
	return cache.NewListWatchFromClient(c.client.AppsV1().RESTClient(), resource, namespace, fields.Everything())
}

// deploymentReady judges whether the named Deployment runs as it is now declared, and nothing older.
func deploymentReady(name string) func([]*appsv1.Deployment) (string, bool) {
	return func(deployments []*appsv1.Deployment) (string, bool) {
		for _, d := range deployments {
			if d.Name != name {
				continue
			}
			wanted := int32(1)
			if d.Spec.Replicas != nil {
				wanted = *d.Spec.Replicas
			}
			seen := fmt.Sprintf("%d of %d pods updated, %d available, %d in all", d.Status.UpdatedReplicas, wanted, d.Status.AvailableReplicas, d.Status.Replicas)
			return seen, d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas == wanted && d.Status.AvailableReplicas == wanted && d.Status.Replicas == wanted
		}
		return "there is no Deployment " + name, false
	}
}

// daemonSetReady judges whether the named DaemonSet runs on all nodes.
func daemonSetReady(sets []*appsv1.DaemonSet, name string, nodes int) (seen string, done bool) {
	for _, d := range sets {
		if d.Name != name {
			continue
		}
		seen := fmt.Sprintf("%d of %d pods ready, %d updated", d.Status.NumberReady, nodes, d.Status.UpdatedNumberScheduled)
		return seen, d.Status.ObservedGeneration >= d.Generation && int(d.Status.NumberReady) == nodes && int(d.Status.UpdatedNumberScheduled) == nodes
	}
	return "there is no DaemonSet " + name, false
}
