package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/wait"
)

// domain is the cluster's DNS domain; kubeadm's default.
const domain = "cluster.local"

// forwardAnnotation on CoreDNS's pods says where they forward to: a change makes new pods, which read the new Corefile.
const forwardAnnotation = "svclab.io/forward"

// restartAnnotation on CoreDNS's pods says when they were replaced because they did not answer.
const restartAnnotation = "svclab.io/restarted"

// findDNS reads the address of the cluster's DNS Service.
func (c *Cluster) findDNS(ctx context.Context) error {
	dns := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-dns"}}
	return c.await(ctx, "the Service kube-system/kube-dns to have an address", dnsAnswersIn, wait.Object(c.objects, dns, func(s *corev1.Service) (bool, string) {
		addr, err := netip.ParseAddr(s.Spec.ClusterIP)
		c.dns = netip.AddrPortFrom(addr, 53)
		return err == nil, fmt.Sprintf("its address is %q", s.Spec.ClusterIP)
	}))
}

// ensureDNS makes CoreDNS forward to the outside world instead of the machine's resolvers, so that no query leaves the
// machine, and waits until its pods do.
func (c *Cluster) ensureDNS(ctx context.Context) error {
	err := c.await(ctx, "CoreDNS's configuration to be written", dnsAnswersIn, wait.Retry(func(ctx context.Context) (bool, string, error) {
		return true, "", c.forwardDNS(ctx)
	}))
	if err != nil {
		return err
	}
	if err := c.ensureCoreDNS(ctx); err != nil {
		return err
	}
	return c.dnsFailed(c.dnsRuns(ctx))
}

// dnsPlace is that of CoreDNS.
var dnsPlace = place{"coredns", "/coredns"}

// checkDNS returns ErrNoCluster when the cluster runs another CoreDNS than the settings describe.
func (c *Cluster) checkDNS(ctx context.Context) error {
	has, err := c.coreDNS(ctx)
	if want := c.settings.CoreDNS.Release; err == nil && has != want {
		return problem(ErrNoCluster, "svclab up with the same settings, which changes that", "cluster %s runs CoreDNS %s, and the settings say %s",
			c.settings.Name, cmp.Or(has, "of its own"), cmp.Or(want, "its own"))
	}
	return err
}

// CoreDNS is the release of CoreDNS that runs in the place of the cluster's own; empty: its own.
func (c *Cluster) CoreDNS() string { return c.settings.CoreDNS.Release }

// coreDNS is the other release that CoreDNS's pods run; empty: the image's own, or there is no CoreDNS.
func (c *Cluster) coreDNS(ctx context.Context) (string, error) {
	d, err := c.client.AppsV1().Deployments("kube-system").Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return "", fmt.Errorf("read which CoreDNS runs: %w", err)
	}
	return d.Spec.Template.Annotations[dnsPlace.annotation()], nil
}

// dnsFailed makes an error ErrProgram, where another CoreDNS runs than the cluster's own: a new cluster would fail in the same way.
func (c *Cluster) dnsFailed(err error) error {
	release := c.settings.CoreDNS.Release
	if err == nil || release == "" {
		return err
	}
	return problem(ErrProgram, "use another release", "CoreDNS %s does not work in this cluster", release).because(err)
}

// ensureCoreDNS has CoreDNS's pods run the program of the settings. The caller waits until they do.
func (c *Cluster) ensureCoreDNS(ctx context.Context) error {
	is, err := c.coreDNS(ctx)
	wants := c.settings.CoreDNS.Release
	if err != nil || is == wants {
		return err
	}
	if err := dnsPlace.copy(ctx, c, c.settings.CoreDNS); err != nil {
		return err
	}
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		deployments := c.client.AppsV1().Deployments("kube-system")
		d, err := deployments.Get(ctx, "coredns", metav1.GetOptions{})
		if err != nil {
			return err
		}
		dnsPlace.into(&d.Spec.Template, wants, wants)
		_, err = deployments.Update(ctx, d, metav1.UpdateOptions{FieldManager: fieldManager})
		return err
	})
	if err != nil {
		return fmt.Errorf("change the Deployment of CoreDNS: %w", err)
	}
	c.logf("  CoreDNS runs %s", cmp.Or(wants, "its image's own program"))
	return nil
}

// dnsRuns waits until CoreDNS's pods are those of its Deployment as it is now.
func (c *Cluster) dnsRuns(ctx context.Context) error {
	return c.await(ctx, "CoreDNS to run as it is configured now", dnsAnswersIn, wait.Deployment(c.objects, "kube-system", "coredns"),
		c.on("apps", "deployments", "kube-system", "coredns"))
}

// annotateDNS sets an annotation of CoreDNS's pods: a new value makes new pods.
func (c *Cluster) annotateDNS(ctx context.Context, key, value string) error {
	patch := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{%q:%q}}}}}`, key, value)
	_, err := c.client.AppsV1().Deployments("kube-system").Patch(ctx, "coredns", types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	return err
}

// forwardDNS writes the forwarding, if it is not so yet.
func (c *Cluster) forwardDNS(ctx context.Context) error {
	maps := c.client.CoreV1().ConfigMaps("kube-system")
	config, err := maps.Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil {
		return err
	}
	corefile, err := forwardTo(config.Data["Corefile"], c.outside)
	if err != nil {
		return err
	}
	if corefile != config.Data["Corefile"] {
		config.Data["Corefile"] = corefile
		if _, err := maps.Update(ctx, config, metav1.UpdateOptions{FieldManager: fieldManager}); err != nil {
			return err
		}
	}
	return c.annotateDNS(ctx, forwardAnnotation, fingerprint([]byte(corefile)))
}

// forwardTo returns a Corefile that forwards to addrs and nowhere else, from one that kubeadm wrote or this function did.
func forwardTo(corefile string, addrs []netip.Addr) (string, error) {
	var lines []string
	for _, a := range addrs {
		lines = append(lines, netip.AddrPortFrom(a, 53).String())
	}
	forward := "forward . " + strings.Join(lines, " ")
	var out []string
	replaced, skipping := false, false
	for line := range strings.Lines(corefile) {
		line = strings.TrimRight(line, "\n")
		text := strings.TrimSpace(line)
		switch {
		case skipping:
			skipping = text != "}"
			continue
		case strings.HasPrefix(text, "forward . "):
			out = append(out, line[:len(line)-len(strings.TrimLeft(line, " \t"))]+forward)
			replaced, skipping = true, strings.HasSuffix(text, "{")
			continue
		}
		out = append(out, line)
	}
	if !replaced {
		return "", fmt.Errorf("the Corefile of kube-system/coredns has no line \"forward . …\" to change")
	}
	return strings.Join(out, "\n") + "\n", nil
}

// answers waits until every node and every client pod gets right answers from the cluster's DNS: the name of a Service,
// and for pods the outside world's web server by its name. It is the last proof that the cluster works: kube-proxy, pod
// network, CoreDNS, forwarding and the way out are all in it. A new cluster's CoreDNS was once seen to give wrong answers for
// minutes; so its pods are replaced once, and it is said why.
func (c *Cluster) answers(ctx context.Context) (err error) {
	defer func() { err = c.dnsFailed(err) }()
	vantages, err := c.Vantages(ctx)
	if err != nil {
		return err
	}
	client := probe.New(c)
	works := func(within time.Duration) error {
		err := c.await(ctx, "DNS to answer every node and client pod, and each pod to reach example.com", within,
			wait.Retry(func(ctx context.Context) (bool, string, error) { return dnsWorks(ctx, client, vantages, c.dns) }))
		if err == nil || ctx.Err() != nil {
			return err
		}
		return errors.Join(err, c.dnsLogs(ctx))
	}
	err = works(dnsFirstIn)
	if err == nil || ctx.Err() != nil {
		return err
	}
	c.logf("  CoreDNS does not answer as it should, so its pods are replaced: %v", err)
	if err := c.annotateDNS(ctx, restartAnnotation, time.Now().Format(time.RFC3339)); err != nil {
		return fmt.Errorf("replace CoreDNS's pods: %w", err)
	}
	if err := c.dnsRuns(ctx); err != nil {
		return err
	}
	return works(dnsAnswersIn)
}

// dnsWorks looks up a Service from every node, and has every pod reach example.com. seen is what went wrong.
func dnsWorks(ctx context.Context, client *probe.Client, vantages []reach.Vantage, server netip.AddrPort) (works bool, seen string, err error) {
	var lookups []probe.Lookup
	var requests []probe.Request
	for _, v := range vantages {
		switch v.Kind {
		case reach.Node:
			lookups = append(lookups, probe.Lookup{Vantage: v, Name: "kubernetes.default.svc." + domain + ".", Record: probe.A, Server: server})
		case reach.Pod:
			requests = append(requests, probe.Request{Vantage: v, Target: reach.Target{Kind: reach.ExternalName, Service: "outside", Host: "example.com", Port: 80, Protocol: reach.TCP}})
		}
	}
	found, err := client.Resolve(ctx, lookups)
	if err != nil {
		return false, "", err
	}
	cells, err := client.Observe(ctx, requests)
	if err != nil {
		return false, "", err
	}
	var wrong []string
	for _, f := range found {
		if f.Observation.Outcome != reach.Reached {
			wrong = append(wrong, fmt.Sprintf("%s: %s, %s", f.Vantage.Name, f.Observation.Outcome, f.Observation.Detail))
		}
	}
	for _, cell := range cells {
		i := slices.IndexFunc(cell.Observations, func(o reach.Observation) bool { return o.Outcome != reach.Reached || o.Backend != outsideBackend })
		if i >= 0 {
			o := cell.Observations[i]
			wrong = append(wrong, fmt.Sprintf("%s: %s %s, example.com: %s", cell.Vantage.Name, o.Outcome, o.Backend, o.Detail))
		}
	}
	slices.Sort(wrong)
	return len(wrong) == 0, strings.Join(wrong, "; "), nil
}

// dnsLogs is an error that says how the log of each CoreDNS pod ends.
func (c *Cluster) dnsLogs(ctx context.Context) error {
	pods, err := c.client.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
	if err != nil {
		return fmt.Errorf("find CoreDNS's pods: %w", err)
	}
	var logs []error
	for _, pod := range pods.Items {
		log, err := c.client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{TailLines: new(int64(10))}).DoRaw(ctx)
		if err != nil {
			logs = append(logs, fmt.Errorf("read the log of %s: %w", pod.Name, err))
			continue
		}
		logs = append(logs, fmt.Errorf("the log of %s on %s, %s, ends with:\n%s", pod.Name, pod.Spec.NodeName, pod.Status.PodIP, strings.TrimSpace(string(log))))
	}
	return errors.Join(logs...)
}
