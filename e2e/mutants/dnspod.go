package mutants

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// dnsPod puts one more pod behind the cluster's DNS Service, whose Corefile has lines of its own in the first server
// block: some of the lookups get its answer. {namespace} and {domain} in them are filled in.
func dnsPod(lines string) Fault {
	labels := mutantLabel + "=dns"
	return Fault{
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			config, err := lab.Client().CoreV1().ConfigMaps(dnsNamespace).Get(ctx, dnsName, metav1.GetOptions{})
			if err != nil {
				return fmt.Errorf("read CoreDNS's configuration: %w", err)
			}
			text, err := withLines(config.Data["Corefile"], "    "+strings.NewReplacer("{namespace}", scene.Namespace, "{domain}", scene.Domain).Replace(lines)+"\n")
			if err != nil {
				return err
			}
			meta := metav1.ObjectMeta{Name: mutantMark + "-dns", Namespace: dnsNamespace, Labels: map[string]string{mutantLabel: "dns"}}
			_, err = lab.Client().CoreV1().ConfigMaps(dnsNamespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"Corefile": text}}, metav1.CreateOptions{})
			if err != nil {
				return fmt.Errorf("write another configuration of CoreDNS: %w", err)
			}
			d, err := lab.Client().AppsV1().Deployments(dnsNamespace).Get(ctx, dnsName, metav1.GetOptions{})
			if err != nil {
				return fmt.Errorf("find CoreDNS: %w", err)
			}
			pod := &corev1.Pod{ObjectMeta: meta, Spec: *d.Spec.Template.Spec.DeepCopy()}
			pod.Labels = map[string]string{mutantLabel: "dns", "k8s-app": "kube-dns"}
			pod.Spec.TerminationGracePeriodSeconds = new(int64)
			for i := range pod.Spec.Volumes {
				if source := pod.Spec.Volumes[i].ConfigMap; source != nil {
					source.Name = meta.Name
				}
			}
			if _, err := lab.Client().CoreV1().Pods(dnsNamespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
				return fmt.Errorf("make another pod of CoreDNS: %w", err)
			}
			_, err = podReady(ctx, lab, dnsNamespace, labels)
			return err
		},
		Revert: func(ctx context.Context, lab Lab) error {
			options := metav1.ListOptions{LabelSelector: labels}
			pods, maps := lab.Client().CoreV1().Pods(dnsNamespace), lab.Client().CoreV1().ConfigMaps(dnsNamespace)
			there, err := pods.List(ctx, options)
			configs, failed := maps.List(ctx, options)
			if err := errors.Join(err, failed); err != nil {
				return fmt.Errorf("find the other pod of CoreDNS and its configuration: %w", err)
			}
			return errors.Join(
				remove(there.Items, func(_, name string) error { return pods.Delete(ctx, name, *metav1.NewDeleteOptions(0)) }),
				remove(configs.Items, func(_, name string) error { return maps.Delete(ctx, name, metav1.DeleteOptions{}) }),
				podsGone(ctx, lab, dnsNamespace, labels))
		},
	}
}
