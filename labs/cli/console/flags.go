package console

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/setup"
)

// clusterFlag is a flag that describes the lab's cluster. setup.FromEnv reads the same setting from the environment.
type clusterFlag struct {
	name, usage string
	// One of text and number returns the field that the flag sets.
	text   func(*setup.Config) *string
	number func(*setup.Config) *int
}

func clusterFlags() []clusterFlag {
	return []clusterFlag{
		{name: "name", usage: "name of the kind cluster", text: func(c *setup.Config) *string { return &c.Name }},
		{name: "mode", usage: "kube-proxy's mode: nftables or iptables", text: func(c *setup.Config) *string { return &c.ProxyMode }},
		{name: "family", usage: "IP families: ipv4 or dual", text: func(c *setup.Config) *string { return &c.Family }},
		{name: "kubernetes", usage: "Kubernetes minor version, such as 1.37 (default: the one in scripts/versions.env)", text: func(c *setup.Config) *string { return &c.Kubernetes }},
		{name: "proxy", usage: "release of kube-proxy that runs in the place of the cluster's own, such as v1.33.0; built from Go modules", text: func(c *setup.Config) *string { return &c.Proxy }},
		{name: "coredns", usage: "release of CoreDNS that runs in the place of the cluster's own, such as v1.12.0", text: func(c *setup.Config) *string { return &c.CoreDNS }},
		{name: "images", usage: "source of the images: pull, build, or auto (pull if a registry answers)", text: func(c *setup.Config) *string { return &c.Images }},
		{name: "workers", usage: "number of worker nodes, in addition to the control plane", number: func(c *setup.Config) *int { return &c.Workers }},
		{name: "host-port", usage: "nodePort that is published on 127.0.0.1 of this machine; 0 publishes none", number: func(c *setup.Config) *int { return &c.HostPort }},
		{name: "output", usage: "folder for everything that is written (default: _output in the checkout)", text: func(c *setup.Config) *string { return &c.Output }},
	}
}

func isClusterFlag(name string) bool {
	return slices.ContainsFunc(clusterFlags(), func(f clusterFlag) bool { return f.name == name })
}

// ClusterFlags gives cmd the named flags that describe the lab's cluster, or all of them if none is named. It has Config set
// before cmd runs, and checked if cmd needs the cluster that they describe: a flag that is given wins over its environment
// variable, and that over the default.
func (a *App) ClusterFlags(cmd *cobra.Command, names ...string) {
	d := cluster.Defaults()
	defaults := setup.Config{Name: d.Name, ProxyMode: d.ProxyMode, Family: d.Family, Images: "auto", Workers: d.Workers, HostPort: int(d.HostPort)}
	for _, f := range clusterFlags() {
		if len(names) > 0 && !slices.Contains(names, f.name) {
			continue
		}
		usage := f.usage + " [" + variable(f.name) + "]"
		if f.text != nil {
			cmd.Flags().String(f.name, *f.text(&defaults), usage)
		} else {
			cmd.Flags().Int(f.name, *f.number(&defaults), usage)
		}
	}
	a.NeedsCheckout(cmd)
	if cmd.Flags().Lookup("workers") == nil { // it needs no cluster as the flags describe it
		return
	}
	configure := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if err := configure(cmd, args); err != nil {
			return err
		}
		return a.Config.Check()
	}
}

// mostProcs bounds how many processes a flag can ask for.
const mostProcs = 64

// CheckProcs checks a flag --procs.
func CheckProcs(n int) error {
	if n < 1 || n > mostProcs {
		return fmt.Errorf("--procs=%d: use 1 to %d", n, mostProcs)
	}
	return nil
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return "SVCLAB_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// NeedsCheckout has Config set from the environment, and from the flags that cmd has, before cmd runs. It fails outside a
// checkout of the project.
func (a *App) NeedsCheckout(cmd *cobra.Command) {
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) (err error) {
		if a.Config, err = setup.FromEnv(a.Manifests, a.Err); err != nil {
			return err
		}
		a.Config.Use.Command = cmd.CommandPath()
		for _, f := range clusterFlags() {
			switch {
			case !cmd.Flags().Changed(f.name):
			case f.text != nil:
				*f.text(&a.Config), err = cmd.Flags().GetString(f.name)
			default:
				*f.number(&a.Config), err = cmd.Flags().GetInt(f.name)
			}
			if err != nil {
				return err
			}
		}
		if a.Config.Output != "" { // programs that svclab starts run in other folders
			a.Config.Output, err = filepath.Abs(a.Config.Output)
		}
		return err
	}
}

// GivenClusterFlags returns the cluster flags that a person gave to cmd, as " --name=x --mode=y".
func GivenClusterFlags(cmd *cobra.Command) string {
	var b strings.Builder
	for _, f := range clusterFlags() {
		if flag := cmd.Flags().Lookup(f.name); flag != nil && flag.Changed {
			b.WriteString(" --" + f.name + "=" + shellescape.Quote(flag.Value.String()))
		}
	}
	return b.String()
}
