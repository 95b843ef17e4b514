package mutants

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// sliceAdded gives a Service an EndpointSlice that no controller made, with the address of a pod that it does not select.
func sliceAdded(service string) Fault {
	return Fault{
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			addr, err := scene.DNSPod()
			if err != nil {
				return err
			}
			slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{GenerateName: mutantMark + "-", Namespace: scene.Namespace,
				Labels: map[string]string{mutantLabel: "slice", discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: mutantMark}},
				AddressType: discoveryv1.AddressTypeIPv4,
				Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{addr.String()}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)}}},
				Ports:       []discoveryv1.EndpointPort{{Name: new("http"), Port: new(int32(8080)), Protocol: new(corev1.ProtocolTCP)}},
			}
			if _, err := lab.Client().DiscoveryV1().EndpointSlices(scene.Namespace).Create(ctx, slice, metav1.CreateOptions{FieldManager: mutantMark}); err != nil {
				return fmt.Errorf("add an EndpointSlice: %w", err)
			}
			return nil
		},
		Revert: func(ctx context.Context, lab Lab) error {
			list, err := lab.Client().DiscoveryV1().EndpointSlices(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: mutantLabel})
			if err != nil {
				return fmt.Errorf("find the EndpointSlices that were added: %w", err)
			}
			return remove(list.Items, func(namespace, name string) error {
				return lab.Client().DiscoveryV1().EndpointSlices(namespace).Delete(ctx, name, metav1.DeleteOptions{})
			})
		},
	}
}

// unmirrored has the API server's controllers leave a Service's Endpoints alone, by the label that says so, though nobody else writes
// EndpointSlices for them.
func unmirrored(service string) Fault {
	endpoints := func(lab Lab, namespace string) typedcorev1.EndpointsInterface {
		return lab.Client().CoreV1().Endpoints(namespace)
	}
	label := func(ctx context.Context, lab Lab, namespace, name, skip, mark string) error {
		return patch(ctx, endpoints(lab, namespace).Patch, name, fmt.Sprintf(`{"metadata":{"labels":{%q:%s,%q:%s}}}`, discoveryv1.LabelSkipMirror, skip, mutantLabel, mark))
	}
	return Fault{
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			return label(ctx, lab, scene.Namespace, service, `"true"`, `"endpoints"`)
		},
		Revert: func(ctx context.Context, lab Lab) error {
			list, err := endpoints(lab, metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: mutantLabel})
			if err != nil {
				return fmt.Errorf("find the Endpoints that were not to be mirrored: %w", err)
			}
			var errs []error
			for i := range list.Items {
				if err := label(ctx, lab, list.Items[i].Namespace, list.Items[i].Name, "null", "null"); err != nil && !apierrors.IsNotFound(err) {
					errs = append(errs, err)
				}
			}
			return errors.Join(errs...)
		},
	}
}

// rangeReleased removes the finalizer of every ServiceCIDR that is deleted, so that it goes though a Service has an address of it.
func rangeReleased() Fault {
	releasing := &background{}
	return Fault{
		Inject: func(ctx context.Context, lab Lab, _ Scene) error {
			releasing.start(ctx, func(ctx context.Context) error {
				ranges := lab.Client().NetworkingV1().ServiceCIDRs()
				for {
					if err := wait.Sleep(ctx, changesEvery); err != nil {
						return err
					}
					list, err := ranges.List(ctx, metav1.ListOptions{})
					if err != nil {
						return fmt.Errorf("list the servicecidrs: %w", err)
					}
					for i := range list.Items {
						if list.Items[i].DeletionTimestamp == nil {
							continue
						}
						if err := patch(ctx, ranges.Patch, list.Items[i].Name, `{"metadata":{"finalizers":null}}`); err != nil && !apierrors.IsNotFound(err) {
							return err
						}
					}
				}
			})
			return nil
		},
		Revert: func(context.Context, Lab) error { return releasing.stop() },
	}
}

// addressForgotten deletes the IPAddress object of my-service's ClusterIP, which keeps the address.
func addressForgotten() Fault {
	return Fault{
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			// the annotation that says which Service to look at afterwards; the patch in it changes nothing
			if err := patchService(ctx, lab, scene.Service, noted("{}")); err != nil {
				return err
			}
			if err := lab.Client().NetworkingV1().IPAddresses().Delete(ctx, scene.VIP.String(), metav1.DeleteOptions{}); err != nil {
				return fmt.Errorf("delete IPAddress %s: %w", scene.VIP, err)
			}
			return nil
		},
		Revert: func(ctx context.Context, lab Lab) error {
			services, err := lab.Client().CoreV1().Services(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
			if err != nil {
				return fmt.Errorf("find the service whose address was forgotten: %w", err)
			}
			var errs []error
			for i := range services.Items {
				if service := &services.Items[i]; service.Annotations[undoIs] != "" && service.DeletionTimestamp == nil {
					for _, addr := range world.ClusterIPs(service) {
						errs = append(errs, remember(ctx, lab, service, addr))
					}
				}
			}
			return errors.Join(append(errs, unedit(ctx, lab))...)
		},
	}
}

// remember makes the IPAddress object of a Service's ClusterIP as the API server does, unless it exists.
func remember(ctx context.Context, lab Lab, service *corev1.Service, addr netip.Addr) error {
	family := string(world.FamilyOf(addr))
	_, err := lab.Client().NetworkingV1().IPAddresses().Create(ctx, &networkingv1.IPAddress{
		ObjectMeta: metav1.ObjectMeta{Name: addr.String(), Labels: map[string]string{
			networkingv1.LabelIPAddressFamily: family, networkingv1.LabelManagedBy: "ipallocator.k8s.io"}},
		Spec: networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{Resource: "services", Namespace: service.Namespace, Name: service.Name}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make IPAddress %s again: %w", addr, err)
	}
	return nil
}

// addressOfNoPool stops MetalLB's controller and has my-service's status say that it has an address of documentation
// (RFC 5737). The controller, when it goes on, sees that and gives another.
func addressOfNoPool() Fault {
	return Fault{
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			// in the nodes' own process namespaces; one of them has the controller
			if err := everyNode(ctx, lab, "", "sh", "-c", "pkill --signal STOP --exact controller || test $? = 1"); err != nil {
				return err
			}
			return edit(ctx, lab, scene.Service, "status", `{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.7","ipMode":"VIP"}]}}}`)
		},
		Revert: func(ctx context.Context, lab Lab) error {
			err := unedit(ctx, lab) // first: what the controller finds then is as it left it
			err = errors.Join(err, everyNode(ctx, lab, "", "sh", "-c", "pkill --signal CONT --exact controller || test $? = 1"))
			return errors.Join(err, waitForDeployment(ctx, lab, metalLB, "controller"))
		},
	}
}

// neighbourKept has the machine outside send what it sends to the load balancer's address to the node that announces it
// now for good, whatever is announced later.
func neighbourKept() Fault {
	// $0 is the address; ip prints "ADDRESS dev LINK lladdr MAC STATE"
	const keep = `set -- $(ip neigh show "$0") && test "$4" = lladdr && ip neigh replace "$0" lladdr "$5" dev "$3" nud permanent`
	return Fault{
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			if !scene.LoadBalancer.IsValid() {
				return errors.New("the Service has no load balancer's address")
			}
			return at(ctx, lab, string(reach.Outside), "", "sh", "-c", keep, scene.LoadBalancer.String())
		},
		Revert: func(ctx context.Context, lab Lab) error {
			return at(ctx, lab, string(reach.Outside), "", "ip", "neigh", "flush", "nud", "permanent")
		},
	}
}
