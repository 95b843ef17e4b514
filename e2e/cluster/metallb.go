package cluster

import (
	"context"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/e2e-framework/klient/decoder"
	"sigs.k8s.io/e2e-framework/klient/k8s"

	"github.com/svclab/svclab/e2e/cluster/docker"
	"github.com/svclab/svclab/e2e/wait"
)

// metalLBNamespace is the one that MetalLB's own manifest makes.
const metalLBNamespace = "metallb-system"

// PoolSize is how many addresses of each IP family Services of type LoadBalancer can have.
const PoolSize = 20

// ensureMetalLB makes sure that MetalLB runs in layer-2 mode and has a pool of the nodes' network.
func (c *Cluster) ensureMetalLB(ctx context.Context) error {
	text, err := os.ReadFile(c.settings.Images.MetalLBManifest)
	if err != nil {
		return fmt.Errorf("read MetalLB's manifest: %w", err)
	}
	objects, err := decode(text, decoder.MutateOption(probeSooner))
	if err != nil {
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
	if err := c.applyUntilAdmitted(ctx, "MetalLB's objects to be admitted", objects); err != nil {
		return err
	}
	group, waiting := errgroup.WithContext(ctx)
	group.Go(func() error {
		return c.await(waiting, "MetalLB's controller to be ready", metalLBIn, wait.Deployment(c.objects, metalLBNamespace, "controller"),
			c.on("apps", "deployments", metalLBNamespace, "controller"))
	})
	group.Go(func() error {
		return c.await(waiting, "MetalLB's speakers to be ready", metalLBIn, wait.DaemonSet(c.objects, metalLBNamespace, "speaker", len(c.nodeNames())),
			c.on("apps", "daemonsets", metalLBNamespace, "speaker"))
	})
	// the webhook answers once the controller does, so this waits for that too
	group.Go(func() error { return c.SetPool(waiting) })
	return group.Wait()
}

// createMissing creates the Secrets that are not there, in the namespace that is among objects.
func (c *Cluster) createMissing(ctx context.Context, objects []*unstructured.Unstructured, secrets []*corev1.Secret) error {
	namespaces := slices.DeleteFunc(slices.Clone(objects), func(o *unstructured.Unstructured) bool { return o.GetKind() != "Namespace" })
	if err := c.applyUntilAdmitted(ctx, "MetalLB's namespace to be admitted", namespaces); err != nil {
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

// probeSooner lets kubelets probe the readiness of MetalLB's pods from the first second on, not from the tenth. It is a
// decoder.MutateFunc.
func probeSooner(o k8s.Object) error {
	object, ok := o.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("%T is no unstructured object", o)
	}
	if kind := object.GetKind(); kind != "Deployment" && kind != "DaemonSet" {
		return nil
	}
	containers, _, err := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
	if err != nil {
		return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
	}
	for _, container := range containers {
		if probe, ok := container.(map[string]any)["readinessProbe"].(map[string]any); ok {
			probe["initialDelaySeconds"], probe["periodSeconds"] = int64(1), int64(2)
		}
	}
	return unstructured.SetNestedSlice(object.Object, containers, "spec", "template", "spec", "containers")
}

// SetPool makes sure that MetalLB has its pool and announces it: after Up, or after a test took it away.
func (c *Cluster) SetPool(ctx context.Context) error {
	ranges, err := c.Pool(ctx)
	if err != nil {
		return err
	}
	pool, err := c.manifest("metallb/pool.yaml.tmpl", struct{ Ranges []docker.Range }{ranges})
	if err != nil {
		return err
	}
	return c.applyUntilAdmitted(ctx, "MetalLB's webhook to admit the address pool", pool)
}

// Pool is the addresses that Services of type LoadBalancer get, IPv4 first.
func (c *Cluster) Pool(ctx context.Context) ([]docker.Range, error) {
	network, err := c.dockerNetwork(ctx)
	if err != nil {
		return nil, err
	}
	return network.Pools(PoolSize, c.settings.Family == Dual)
}

// applyUntilAdmitted applies objects, and repeats that while the error may go away by itself.
func (c *Cluster) applyUntilAdmitted(ctx context.Context, what string, objects []*unstructured.Unstructured) error {
	return c.await(ctx, what, metalLBIn, func(ctx context.Context) (bool, string, error) {
		err := c.apply(ctx, objects)
		if err != nil && c.engine == nil {
			if refused := refusal(err); refused != nil {
				return false, "", refused
			}
		}
		if err != nil && later(err) && ctx.Err() == nil {
			return false, err.Error(), nil
		}
		return err == nil, "", err
	})
}
