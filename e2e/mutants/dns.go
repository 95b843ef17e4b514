package mutants

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	dnsNamespace = "kube-system"
	dnsName      = "coredns"
	dnsLabels    = "k8s-app=kube-dns"
	// replicasWere is the annotation that says how many pods CoreDNS had.
	replicasWere = "svclab.io/mutant-replicas"
	// corefileIs is the annotation on CoreDNS's pods that a changed Corefile changes, so that new ones are made.
	corefileIs = "svclab.io/mutant-corefile"
)

// patch applies a merge patch; client is the Patch method of a typed client.
func patch[T any](ctx context.Context, client func(context.Context, string, types.PatchType, []byte, metav1.PatchOptions, ...string) (T, error), name, body string) error {
	if _, err := client(ctx, name, types.MergePatchType, []byte(body), metav1.PatchOptions{FieldManager: mutantMark}); err != nil {
		return fmt.Errorf("patch %s: %w", name, err)
	}
	return nil
}

// dnsDown removes every pod of CoreDNS without a grace period, in which it would go on answering.
func dnsDown() Fault {
	return Fault{
		Inject: func(ctx context.Context, lab Lab, _ Scene) error {
			deployments := lab.Client().AppsV1().Deployments(dnsNamespace)
			d, err := deployments.Get(ctx, dnsName, metav1.GetOptions{})
			if err != nil {
				return fmt.Errorf("find CoreDNS: %w", err)
			}
			replicas := int32(1)
			if d.Spec.Replicas != nil {
				replicas = *d.Spec.Replicas
			}
			if err := patch(ctx, deployments.Patch, dnsName, fmt.Sprintf(`{"metadata":{"annotations":{%q:"%d"}},"spec":{"replicas":0}}`, replicasWere, replicas)); err != nil {
				return err
			}
			pods := lab.Client().CoreV1().Pods(dnsNamespace)
			if err := pods.DeleteCollection(ctx, *metav1.NewDeleteOptions(0), metav1.ListOptions{LabelSelector: dnsLabels}); err != nil {
				return fmt.Errorf("end CoreDNS: %w", err)
			}
			return podsGone(ctx, lab, dnsNamespace, dnsLabels)
		},
		Revert: func(ctx context.Context, lab Lab) error {
			deployments := lab.Client().AppsV1().Deployments(dnsNamespace)
			d, err := deployments.Get(ctx, dnsName, metav1.GetOptions{})
			if err != nil {
				return fmt.Errorf("find CoreDNS: %w", err)
			}
			was, injected := d.Annotations[replicasWere]
			if !injected {
				return nil
			}
			replicas, err := strconv.Atoi(was)
			if err != nil {
				return fmt.Errorf("annotation %s of CoreDNS: %w", replicasWere, err)
			}
			if err := patch(ctx, deployments.Patch, dnsName, fmt.Sprintf(`{"metadata":{"annotations":{%q:null}},"spec":{"replicas":%d}}`, replicasWere, replicas)); err != nil {
				return err
			}
			return dnsRuns(ctx, lab)
		},
	}
}

// dnsRuns waits until CoreDNS runs as it is now declared, and no earlier pod is left: a terminating one answers for some
// seconds, and a request that is on its way when it ends is lost.
func dnsRuns(ctx context.Context, lab Lab) error {
	if err := waitForDeployment(ctx, lab, dnsNamespace, dnsName); err != nil {
		return err
	}
	return noPodTerminating(ctx, lab, dnsNamespace, dnsLabels)
}

// The lines between which a Corefile is a mutant's.
const (
	corefileBegin = "    # svclab-mutant: begin\n"
	corefileEnd   = "    # svclab-mutant: end\n"
)

// aliasChanged has CoreDNS answer another name than the Service's externalName.
func aliasChanged(other string) Fault {
	return Fault{
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			alias := fmt.Sprintf("%s.%s.svc.%s.", serviceName, scene.Namespace, scene.Domain)
			// plugin template stands before plugin kubernetes, and looks up what its CNAME leads to
			return corefile(ctx, lab, fmt.Sprintf("    template IN ANY %s {\n        match \"%s\"\n        answer \"{{ .Name }} 5 IN CNAME %s.\"\n    }\n",
				scene.Domain, quoted(alias), other))
		},
		Revert: func(ctx context.Context, lab Lab) error { return corefile(ctx, lab, "") },
	}
}

// recordsLost has CoreDNS answer that a Service has no record of a type.
func recordsLost(p struct {
	Type    string `json:"type"`
	Service string `json:"service"`
}) Fault {
	return Fault{
		Inject: func(ctx context.Context, lab Lab, scene Scene) error {
			name := fmt.Sprintf("%s.%s.svc.%s.", p.Service, scene.Namespace, scene.Domain)
			return corefile(ctx, lab, fmt.Sprintf("    template IN %s %s {\n        match \"%s\"\n        rcode NOERROR\n        fallthrough\n    }\n", p.Type, scene.Domain, quoted(name)))
		},
		Revert: func(ctx context.Context, lab Lab) error { return corefile(ctx, lab, "") },
	}
}

// quoted puts a text between the anchors of a regular expression that matches it and nothing else.
func quoted(name string) string { return "^" + strings.ReplaceAll(name, ".", `\.`) + "$" }

// corefile puts lines into CoreDNS's configuration, instead of those of a mutant that are there, and has its pods
// made again where that changes it.
func corefile(ctx context.Context, lab Lab, lines string) error {
	maps := lab.Client().CoreV1().ConfigMaps(dnsNamespace)
	config, err := maps.Get(ctx, dnsName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read CoreDNS's configuration: %w", err)
	}
	changed, err := withLines(config.Data["Corefile"], lines)
	if err != nil {
		return err
	}
	if changed != config.Data["Corefile"] {
		config.Data["Corefile"] = changed
		if config, err = maps.Update(ctx, config, metav1.UpdateOptions{FieldManager: mutantMark}); err != nil {
			return fmt.Errorf("write CoreDNS's configuration: %w", err)
		}
	}
	deployments := lab.Client().AppsV1().Deployments(dnsNamespace)
	d, err := deployments.Get(ctx, dnsName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("find CoreDNS: %w", err)
	}
	annotation := "null" // as it was before any mutant
	if lines != "" {
		annotation = strconv.Quote(config.ResourceVersion)
	} else if _, injected := d.Spec.Template.Annotations[corefileIs]; !injected {
		return nil
	}
	if err := patch(ctx, deployments.Patch, dnsName, fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{%q:%s}}}}}`, corefileIs, annotation)); err != nil {
		return err
	}
	return dnsRuns(ctx, lab)
}

// withLines is the Corefile with lines at the beginning of its first server block, and without those of a mutant
// that are there.
func withLines(text, lines string) (string, error) {
	if before, rest, found := strings.Cut(text, corefileBegin); found {
		_, after, ends := strings.Cut(rest, corefileEnd)
		if !ends {
			return "", fmt.Errorf("the Corefile has a line %q and none %q after it", strings.TrimSpace(corefileBegin), strings.TrimSpace(corefileEnd))
		}
		text = before + after
	}
	if lines == "" {
		return text, nil
	}
	head, body, found := strings.Cut(text, "{\n")
	if !found {
		return "", fmt.Errorf("the Corefile has no server block: %q", text)
	}
	return head + "{\n" + corefileBegin + lines + corefileEnd + body, nil
}

// searchLost takes the search path from a pod's resolver, and waits until programs that read its configuration every
// five seconds, as Go's do, have read it.
func searchLost(vantage string) Fault {
	const was = "/tmp/" + mutantMark + "-resolv.conf"
	return Fault{
		Inject: func(ctx context.Context, lab Lab, _ Scene) error {
			return at(ctx, lab, vantage, "", "sh", "-c", "cp /etc/resolv.conf "+was+" && grep -v ^search "+was+" >/etc/resolv.conf && sleep 6")
		},
		Revert: func(ctx context.Context, lab Lab) error {
			return at(ctx, lab, vantage, "", "sh", "-c", "if [ -s "+was+" ]; then cat "+was+" >/etc/resolv.conf && rm "+was+" && sleep 6; fi")
		},
	}
}
