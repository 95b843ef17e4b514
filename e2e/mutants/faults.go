package mutants

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/reach"
)

// mutantLabel marks the objects that mutants make, mutantMark whatever else they leave that has a name.
const (
	mutantLabel = "svclab.io/mutant"
	mutantMark  = "svclab-mutant"
)

// strangerName is the pod's name, which its answers contain.
const strangerName = "stranger"

// stranger runs a pod of the app's image that the Service does not select, and sends it half of a node's connections to the
// ClusterIP.
func stranger(slot string) Fault {
	return Fault{
		Table:  "inet " + filterTable,
		Chains: []string{"arriving", "sent"},
		Slots:  []string{slot},
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: strangerName, Namespace: scene.Namespace, Labels: map[string]string{mutantLabel: "stranger"}},
				Spec: corev1.PodSpec{
					Containers: []corev1.Container{{Name: strangerName, Image: scene.Image, ImagePullPolicy: corev1.PullIfNotPresent,
						Args: []string{"netexec", "--http-port=8080", "--udp-port=-1"}}},
					NodeName:                     scene.Nodes[slot].Name,
					AutomountServiceAccountToken: new(bool), TerminationGracePeriodSeconds: new(int64),
				},
			}
			if _, err := lab.Client().CoreV1().Pods(scene.Namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
				return fmt.Errorf("make the stranger: %w", err)
			}
			pod, err := podReady(ctx, lab, scene.Namespace, mutantLabel)
			if err != nil {
				return fmt.Errorf("make the stranger: %w", err)
			}
			rule := fmt.Sprintf("ip daddr {{.VIP}} tcp dport 80 numgen random mod 2 == 0 dnat ip to %s:8080", ready4(pod))
			return filter(Filter{Nodes: []string{slot}, EveryClient: []string{rule}}).Inject(ctx, lab, scene)
		},
		Revert: func(ctx context.Context, lab Lab) error {
			err := filter(Filter{Nodes: []string{slot}}).Revert(ctx, lab)
			pods, listed := lab.Client().CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: mutantLabel})
			if listed != nil {
				return errors.Join(err, fmt.Errorf("find the stranger: %w", listed))
			}
			return errors.Join(err, remove(pods.Items, func(namespace, name string) error {
				return lab.Client().CoreV1().Pods(namespace).Delete(ctx, name, *metav1.NewDeleteOptions(0))
			}))
		},
	}
}

// remove deletes objects that mutants made, each by its namespace and name. One that is gone already is no error.
func remove[T any, P interface {
	*T
	metav1.Object
}](objects []T, del func(namespace, name string) error) error {
	var errs []error
	for i := range objects {
		o := P(&objects[i])
		if err := del(o.GetNamespace(), o.GetName()); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("remove %s/%s, which a mutant made: %w", o.GetNamespace(), o.GetName(), err))
		}
	}
	return errors.Join(errs...)
}

// routeProtocol marks routes of mutants; the kernel attaches no meaning to it.
const routeProtocol = "222"

// wayIn gives the machine outside a route to the Service range by a node.
func wayIn(slot string) Fault {
	return Fault{
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			return at(ctx, lab, string(reach.Outside), "", "ip", "route", "add", scene.Services.String(), "via", scene.Nodes[slot].Addr.String(),
				"protocol", routeProtocol)
		},
		Revert: func(ctx context.Context, lab Lab) error {
			return at(ctx, lab, string(reach.Outside), "", "ip", "route", "flush", "protocol", routeProtocol)
		},
	}
}

// proberReplaced puts a shell script in the prober's place at a vantage.
func proberReplaced(p struct {
	At     string `json:"at"`
	Script string `json:"script"`
}) Fault {
	return Fault{
		Inject: func(ctx context.Context, lab Lab, _ Scene) error {
			v, err := find(ctx, lab, p.At)
			if err != nil {
				return err
			}
			path, err := lab.Prober(ctx, v)
			if err != nil {
				return err
			}
			// $0 is the prober, $1 what it becomes. A prober that runs already would go on.
			replace := `mv "$0" "$0.` + mutantMark + `" && printf '#!/bin/sh\n%s\n' "$1" >"$0" && chmod 755 "$0" || exit
			for process in /proc/[0-9]*; do
				if [ "$(readlink "$process/exe")" = "$0.` + mutantMark + `" ]; then kill "${process#/proc/}"; fi
			done`
			return at(ctx, lab, p.At, "", "sh", "-c", replace, path, p.Script)
		},
		Revert: func(ctx context.Context, lab Lab) error {
			restore := `for was in /kind/svclab/*.` + mutantMark + ` /tmp/*.` + mutantMark + `; do
				if [ -e "$was" ]; then
					is="${was%.` + mutantMark + `}"
					mv -f "$was" "$is" && rm -f "$is".said-* || exit
					for process in /proc/[0-9]*; do
						if tr '\0' ' ' <"$process/cmdline" 2>/dev/null | grep -q "^/bin/sh $is "; then kill "${process#/proc/}"; fi
					done
				fi
			done`
			return at(ctx, lab, p.At, "", "sh", "-c", restore)
		},
	}
}

// kernelSet gives one of a node's kernel settings, by its path under /proc/sys, another value.
func kernelSet(p struct {
	Node    string `json:"node"`
	Setting string `json:"setting"`
	Value   string `json:"value"`
}) Fault {
	const was = "/run/" + mutantMark + "-setting"
	return Fault{
		Inject: func(ctx context.Context, lab Lab, _ Scene) error {
			return onNode(ctx, lab, p.Node, "", "sh", "-c", fmt.Sprintf(`cat /proc/sys/%s >%s && echo %s >/proc/sys/%[1]s`, p.Setting, was, p.Value))
		},
		Revert: func(ctx context.Context, lab Lab) error {
			return onNode(ctx, lab, p.Node, "", "sh", "-c", fmt.Sprintf(`if [ -s %[1]s ]; then cat %[1]s >/proc/sys/%[2]s && rm %[1]s; fi`, was, p.Setting))
		},
	}
}

// proxyFrozen stops a node's kube-proxy without ending it.
func proxyFrozen(slot string) Fault {
	return Fault{
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			return lab.FreezeProxy(ctx, scene.Nodes[slot].Name)
		},
		Revert: func(ctx context.Context, lab Lab) error {
			v, err := find(ctx, lab, "node/"+slot)
			if err != nil {
				return err
			}
			return lab.ThawProxy(ctx, v.Node)
		},
	}
}

// proxyFrozenAfter edits a Service, waits until a shell command shows that a node's rules follow, and stops the node's
// kube-proxy then: it gets no later change.
func proxyFrozenAfter(p struct {
	Node  string `json:"node"`
	Edit  Edit   `json:"edit"`
	Shown string `json:"shown"`
}) Fault {
	edits, stops := edited(p.Edit), proxyFrozen(p.Node)
	return Fault{
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			if err := edits.Inject(ctx, lab, scene); err != nil {
				return err
			}
			poll, err := scene.fill(`for i in $(seq 100); do if ` + p.Shown + `; then exit; fi; sleep 0.2; done; echo kube-proxy did not write it within 20 s >&2; exit 1`)
			if err != nil {
				return err
			}
			if err := onNode(ctx, lab, p.Node, "", "sh", "-c", poll); err != nil {
				return err
			}
			return stops.Inject(ctx, lab, scene)
		},
		Revert: func(ctx context.Context, lab Lab) error {
			return errors.Join(stops.Revert(ctx, lab), edits.Revert(ctx, lab))
		},
	}
}

// addressLabel is the label, as `ip addr` has it, of addresses that mutants give a node.
const addressLabel = "lo:mutant"

// addressOwned gives nodes the load balancer's address. Linux answers ARP for an address whichever of its links has it.
func addressOwned(slots []string) Fault {
	each := func(do func(slot string) error) error {
		var errs []error
		for _, slot := range slots {
			errs = append(errs, do(slot))
		}
		return errors.Join(errs...)
	}
	return Fault{
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			if !scene.LoadBalancer.IsValid() {
				return errors.New("the Service has no load balancer's address")
			}
			return each(func(slot string) error {
				return onNode(ctx, lab, slot, "", "ip", "addr", "add", scene.LoadBalancer.String()+"/32", "dev", "lo", "label", addressLabel)
			})
		},
		Revert: func(ctx context.Context, lab Lab) error {
			return each(func(slot string) error {
				return onNode(ctx, lab, slot, "", "ip", "addr", "flush", "dev", "lo", "label", addressLabel)
			})
		},
	}
}

// everyNode runs a program on every node, with text as its input.
func everyNode(ctx context.Context, lab Lab, text string, argv ...string) error {
	vantages, err := lab.Vantages(ctx)
	if err != nil {
		return err
	}
	for _, v := range vantages {
		if v.Kind == reach.Node {
			err = errors.Join(err, at(ctx, lab, v.Name, text, argv...))
		}
	}
	return err
}

// speakersHang stops MetalLB's speakers where they are.
func speakersHang() Fault {
	return Fault{
		Inject: func(ctx context.Context, lab Lab, _ Scene) error {
			// in the node's own process namespace: it reaches this node's speaker and nothing else
			return everyNode(ctx, lab, "", "pkill", "--signal", "STOP", "--exact", "speaker")
		},
		Revert: func(ctx context.Context, lab Lab) error {
			err := everyNode(ctx, lab, "", "sh", "-c", "pkill --signal CONT --exact speaker || test $? = 1") // 1: no such process
			return errors.Join(err, speakersRun(ctx, lab))
		},
	}
}

// speakersRun waits until a speaker is ready on every node.
func speakersRun(ctx context.Context, lab Lab) error {
	facts, err := lab.Facts(ctx)
	if err != nil {
		return err
	}
	return waitForSpeakers(ctx, lab, len(facts.Slots))
}

// metalLB is MetalLB's namespace.
const metalLB = "metallb-system"

// speakersGone has MetalLB's speakers run nowhere.
func speakersGone() Fault {
	selector := func(ctx context.Context, lab Lab, value string) error {
		return patch(ctx, lab.Client().AppsV1().DaemonSets(metalLB).Patch, "speaker",
			fmt.Sprintf(`{"spec":{"template":{"spec":{"nodeSelector":{%q:%s}}}}}`, mutantLabel, value))
	}
	return Fault{
		Inject: func(ctx context.Context, lab Lab, _ Scene) error {
			if err := selector(ctx, lab, `"nowhere"`); err != nil {
				return err
			}
			return waitForSpeakers(ctx, lab, 0)
		},
		Revert: func(ctx context.Context, lab Lab) error {
			if err := selector(ctx, lab, "null"); err != nil {
				return err
			}
			return speakersRun(ctx, lab)
		},
	}
}
