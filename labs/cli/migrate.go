package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/conformance"
	"github.com/svclab/svclab/e2e/migrate"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
	"github.com/svclab/svclab/labs/cli/console"
)

type migrateFlags struct {
	kubeconfig, context, services string
	from, to, format              string
	verbose, plain, prove         bool
}

func (a *app) migrate() *cobra.Command {
	var f migrateFlags
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Say which Services change when kube-proxy switches from iptables to nftables mode",
		Long: `Predicts, for every Service and every kind of client, what a switch of kube-proxy's mode changes, before you make it: what
stops answering, at which address and port, for which clients, why, and what to do before the switch. It only reads
objects. It sends no request and creates nothing.

The Services are those of the cluster that --kubeconfig names, of a file (--services), or of the lab's cluster. The ambient
kubeconfig is never used. A file is what kubectl prints:

  kubectl get services,endpointslices,nodes,pods,daemonsets,servicecidrs --all-namespaces -o yaml >objects.yaml
  (echo ---; kubectl get configmap kube-proxy --namespace kube-system -o yaml) >>objects.yaml

--from and --to name a mode, iptables or nftables, and may add a release of kube-proxy: nftables@1.35. Without --from it is
the mode of kube-proxy's ConfigMap, without --to the other one.

With --kubeconfig the user needs to list nodes, services, endpointslices, pods, daemonsets and servicecidrs in all namespaces,
and to get the ConfigMap kube-proxy in kube-system: manifests/migrate/rbac.yaml. A permission to list that is missing is
named. Without the ConfigMap, name the mode by --from: then it is not known how kube-proxy tells pods from others.

--prove tries it: on the lab's cluster (svclab up) it applies the Services of the file, of --kubeconfig, or svclab's own, with
stand-in backends, and switches node by node while requests go on from every client: tables before, between and after, then the way
back. It says for each node how long it took, what was lost, and which rules of the old mode are left. Nothing of the other cluster
but what Services, slices, nodes and kube-proxy's settings say is used, and that cluster is only read. What cannot be taken over is
named. At the end the lab's cluster is as before. The report is in the folder migrate in the output folder.

A change counts if it is at an address and port that a Service declares. What changes at other ports, for example that
nftables mode refuses what iptables mode lets pass, is printed but not counted.

Exit codes: 0 nothing changes, 1 something changes or a node cannot run the mode, 2 it could not be known. With --prove: 0 the
switch did what was predicted and left nothing behind, 1 it did not, 2 no verdict was possible.`,
		Example: `  svclab migrate --kubeconfig ~/.kube/config --context staging
  svclab migrate --services objects.yaml --format html >report.html
  svclab migrate --services objects.yaml --from nftables@1.35 --to nftables@1.37
  svclab migrate --services objects.yaml --prove`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runMigrate(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig of a cluster that svclab did not create")
	flags.StringVar(&f.context, "context", "", "context in that kubeconfig (default: its current one)")
	flags.StringVar(&f.services, "services", "", "file of Services, EndpointSlices and Nodes, as kubectl get -o yaml prints them")
	flags.StringVar(&f.from, "from", "", "kube-proxy before: MODE or MODE@RELEASE (default: the cluster's mode)")
	flags.StringVar(&f.to, "to", "", "kube-proxy after: MODE or MODE@RELEASE (default: the other mode)")
	flags.BoolVar(&f.prove, "prove", false, "switch the lab's cluster node by node, and back, with these Services under traffic")
	flags.StringVar(&f.format, "format", "text", "text, json or html")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "print every Service and every cell")
	flags.BoolVar(&f.plain, "plain", false, "no colour, no box drawing (also if the output is no terminal)")
	a.ClusterFlags(cmd)
	lab := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		set := cmd.Flags().Changed
		switch {
		case set("kubeconfig") && f.kubeconfig == "":
			return errors.New("--kubeconfig is empty; name a file, or leave the flag out for the lab's own cluster")
		case set("services") && f.services == "":
			return errors.New("--services is empty; name a file that kubectl get -o yaml wrote")
		case f.kubeconfig != "" && f.services != "":
			return errors.New("--kubeconfig and --services both say where the Services are; use one of them")
		case set("context") && f.kubeconfig == "":
			return errors.New("--context needs --kubeconfig: it is about a cluster that svclab did not create")
		case !slices.Contains([]string{"text", "json", "html"}, f.format):
			return fmt.Errorf("--format %s is not known; use text, json or html", f.format)
		}
		for _, side := range []string{f.from, f.to} {
			if _, _, err := proxySide(side); err != nil {
				return err
			}
		}
		if f.prove && (f.format != "text" || strings.Contains(f.from+f.to, "@")) {
			return errors.New("--prove switches the mode and prints text; leave out --format and the releases of --from and --to")
		}
		if given := console.GivenClusterFlags(cmd); given != "" && f.kubeconfig+f.services != "" && !f.prove {
			return fmt.Errorf("%s describes the lab's cluster, and the Services are those of another; use one of them", strings.TrimSpace(given))
		}
		if f.kubeconfig+f.services == "" || f.prove {
			return lab(cmd, args)
		}
		return nil
	}
	return cmd
}

// proxySide reads "MODE@RELEASE". Each of the two may be missing.
func proxySide(text string) (mode, release string, err error) {
	mode, release, found := strings.Cut(text, "@")
	release = strings.TrimPrefix(release, "v")
	if mode != "" && mode != world.ModeIPTables && mode != world.ModeNFTables {
		return "", "", fmt.Errorf("%q is no mode that can be predicted; use nftables or iptables", mode)
	}
	minor, number := strings.CutPrefix(release, "1.")
	if found && (!number || strings.Trim(minor, "0123456789") != "" || minor == "") {
		return "", "", fmt.Errorf("%q is no release; write it as nftables@1.35", text)
	}
	return mode, release, nil
}

// migratePermissions are exactly those that a prediction needs.
func migratePermissions() []conformance.Permission {
	var all []conformance.Permission
	for _, p := range []struct{ group, resource string }{{"", "nodes"}, {"", "services"}, {"", "pods"}, {"discovery.k8s.io", "endpointslices"},
		{"apps", "daemonsets"}, {"networking.k8s.io", "servicecidrs"}} {
		all = append(all, conformance.Permission{Group: p.group, Resource: p.resource, Verbs: []string{"list"}})
	}
	return append(all, conformance.Permission{Group: world.MetalLBGroup, Resource: "servicel2statuses", Verbs: []string{"list"}, Optional: true})
}

// source is where the Services come from: a snapshot, and kube-proxy's settings in a mode; "" is the one that it runs in.
type source struct {
	world world.World
	facts func(mode string) (world.Facts, error)
}

func (a *app) runMigrate(ctx context.Context, f migrateFlags) error {
	found, err := a.migrateSource(ctx, f)
	if err != nil {
		return err
	}
	fromMode, fromRelease, _ := proxySide(f.from) // checked before
	toMode, toRelease, _ := proxySide(f.to)
	if fromMode == "" {
		now, err := found.facts("")
		if err != nil {
			return err
		}
		if fromMode = now.ProxyMode; fromMode != world.ModeIPTables && fromMode != world.ModeNFTables {
			return fmt.Errorf("kube-proxy's mode is %s, which cannot be predicted; name the mode by --from iptables or --from nftables", fromMode)
		}
	}
	if toMode == "" {
		if toMode = world.OtherMode(fromMode); toRelease != "" {
			toMode = world.ModeNFTables
		}
	}
	from, err := found.facts(fromMode)
	if err != nil {
		return err
	}
	to, err := found.facts(toMode)
	if err != nil {
		return err
	}
	from.ProxyRelease, to.ProxyRelease = fromRelease, toRelease
	if f.prove {
		return a.proveMigration(ctx, found.world, from, to, f)
	}
	report := migrate.Between(found.world, from, to)
	switch f.format {
	case "json":
		encoder := json.NewEncoder(a.Out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	case "html":
		err = report.HTML(a.Out)
	default:
		err = report.Text(a.Out, a.ReportStyle(f.verbose, f.plain).Width, f.verbose)
	}
	if err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	if report.Differs() {
		return console.Judged(reach.Fail)
	}
	return nil
}

func (a *app) migrateSource(ctx context.Context, f migrateFlags) (source, error) {
	switch {
	case f.services != "":
		return servicesOf(f.services)
	case f.kubeconfig == "" && f.prove:
		return a.builtInServices()
	case f.kubeconfig != "":
		c, err := cluster.Connect(ctx, f.kubeconfig, f.context, cluster.Settings{Manifests: a.Manifests, Log: a.Err})
		if err != nil {
			return source{}, err
		}
		missing := &conformance.MissingError{}
		switch err := conformance.Allowed(ctx, c.Client(), c.Context(), migratePermissions()); {
		case errors.As(err, &missing):
			var names []string
			for _, p := range missing.Missing {
				names = append(names, p.String())
			}
			return source{}, fmt.Errorf("the user of context %s may not %s in all namespaces; name a user who may, or let such a user write the file of --services (see svclab migrate --help)",
				c.Context(), strings.Join(names, "; "))
		case err != nil:
			return source{}, err
		}
		return servicesIn(ctx, c)
	}
	settings, err := a.Config.Settings(ctx)
	if err != nil {
		return source{}, err
	}
	c, err := cluster.Attach(ctx, settings, cluster.Free)
	if err != nil {
		return source{}, err
	}
	found, err := servicesIn(ctx, c)
	clean, cancel := console.Cleaning(ctx)
	defer cancel()
	return found, errors.Join(err, c.Close(clean))
}

// servicesIn takes a snapshot of a cluster.
func servicesIn(ctx context.Context, c *cluster.Cluster) (source, error) {
	facts, err := c.Facts(ctx)
	if err != nil {
		return source{}, err
	}
	w, err := world.TakeAll(ctx, c.Client(), c.Client().Discovery(), c.Dynamic(), facts)
	if err != nil {
		return source{}, err
	}
	settings := map[string]world.Facts{"": w.Facts}
	for _, mode := range []string{world.ModeIPTables, world.ModeNFTables} {
		in, err := c.FactsIn(ctx, mode)
		if err != nil {
			return source{}, err
		}
		in.ServiceCIDRs = w.Facts.ServiceCIDRs
		settings[mode] = in
	}
	return source{w, func(mode string) (world.Facts, error) { return settings[mode], nil }}, nil
}

// servicesOf reads a file.
func servicesOf(path string) (source, error) {
	file, err := os.Open(path)
	if err != nil {
		return source{}, fmt.Errorf("read the Services: %w; name a file that kubectl get -o yaml wrote", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	return readServices(path, file)
}

func readServices(path string, r io.Reader) (source, error) {
	objects, err := migrate.Read(r)
	if err != nil {
		return source{}, fmt.Errorf("read %s: %w", path, err)
	}
	ranges := slices.Clone(objects.World.Facts.ServiceCIDRs)
	return source{objects.World, func(mode string) (world.Facts, error) {
		facts := world.Facts{ProxyMode: world.ModeUnknown, Detection: world.DetectUnknown}
		if mode != "" {
			facts.ProxyMode = mode
		}
		if objects.Config != "" {
			var err error
			if facts, err = cluster.ReadProxyConfig(objects.Config, mode); err != nil {
				return facts, fmt.Errorf("read %s: ConfigMap kube-system/kube-proxy: %w", path, err)
			}
		}
		facts.ServiceCIDRs = ranges
		return facts, nil
	}}, nil
}
