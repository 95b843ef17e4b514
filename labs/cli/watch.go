package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/lab"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/cli/learn"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/page"
)

// watchFlags are the flags of watch.
type watchFlags struct {
	kubeconfig, context, lang string
	namespaces                []string
	web                       bool
}

func (a *app) watch() *cobra.Command {
	f := watchFlags{}
	cmd := &cobra.Command{
		Use:   "watch --web",
		Short: "Show the Services of a cluster live: who reaches what, and a request on its way",
		Long: `Serves a page on this machine's loopback, and prints its address. The page shows the nodes, pods, Services and EndpointSlices of
the namespaces as they change, which vantage reaches what, and a request on its way, predicted first and then as it went.
Only who has the address can open it, and only on this machine. Ctrl-C ends it.

In the lab's own cluster, probes are sent from every vantage whenever something changes and every few seconds, as long as
the page is open. Of a cluster that svclab did not create, which --kubeconfig names, the page shows what is predicted:
nothing is sent or created there, and objects are only read. The ambient kubeconfig is never used.`,
		Example: `  svclab watch --web
  svclab watch --web -n shop -n payments
  svclab watch --web --kubeconfig ~/.kube/config --context staging -n shop`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !f.web {
				return errors.New("svclab watch shows a page; say so: svclab watch --web")
			}
			return a.runWatch(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.web, "web", false, "serve a page on this machine's loopback, and print its address")
	flags.StringArrayVarP(&f.namespaces, "namespace", "n", []string{"default"}, "namespace to show; may be given several times")
	flags.StringVar(&f.lang, "lang", "", "language of the page: en or zh (default: that of svclab learn, or the locale's)")
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig of a cluster that svclab did not create: only predict")
	flags.StringVar(&f.context, "context", "", "context in that kubeconfig (default: its current one)")
	a.ClusterFlags(cmd)
	cmd.PreRunE = ownOrNamed(cmd.PreRunE, &f.kubeconfig, &f.context, &pflag.FlagSet{})
	return cmd
}

func (a *app) runWatch(ctx context.Context, f watchFlags) (err error) {
	for _, namespace := range f.namespaces {
		if why := validation.IsDNS1123Label(namespace); len(why) > 0 {
			return fmt.Errorf("--namespace %s is no namespace: %s", namespace, why[0])
		}
	}
	language, err := learn.Language(f.lang)
	if err != nil {
		return err
	}
	options := page.Options{View: page.View{Namespaces: f.namespaces, Traffic: true, Reasons: true}, Language: string(language)}
	if f.kubeconfig != "" {
		c, err := a.connected(ctx, f.kubeconfig, f.context, cluster.Settings{})
		if err != nil {
			return err
		}
		options.Cluster = c
	} else {
		settings, err := a.Config.Settings(ctx)
		if err != nil {
			return err
		}
		c, err := cluster.Attach(ctx, settings, cluster.Free)
		if err != nil {
			return err
		}
		defer func() {
			clean, cancel := console.Cleaning(ctx)
			defer cancel()
			err = errors.Join(err, c.Close(clean))
		}()
		own := lab.Cluster{Cluster: c}
		options.Cluster, options.Prober, options.Trace = c, own.Probes(), own.TraceWalk
	}
	return page.Serve(ctx, options, func(url string) {
		_, _ = fmt.Fprintln(a.Out, coach.Say(language, coach.WebOn, url)) // the page works also if nobody reads this
		_, _ = fmt.Fprintln(a.Err, coach.Say(language, coach.WebRules))
	})
}

// connected is a cluster that svclab did not create. Its nodes are vantages of predictions.
func (a *app) connected(ctx context.Context, kubeconfig, contextName string, s cluster.Settings) (*cluster.Cluster, error) {
	s.Manifests, s.Log = a.Manifests, a.Err
	c, err := cluster.Connect(ctx, kubeconfig, contextName, s)
	if err != nil {
		return nil, err
	}
	nodes, err := c.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the nodes: %w", err)
	}
	slots := map[string]string{}
	for _, n := range nodes.Items {
		slots[n.Name] = n.Name
	}
	c.UseNodes(slots)
	return c, nil
}

// ownOrNamed is the check of flags of which --kubeconfig and --context name a cluster that svclab did not create, those in foreign
// are about such a cluster, and the others describe the lab's own, which lab checks.
func ownOrNamed(lab func(*cobra.Command, []string) error, kubeconfig, contextName *string, foreign *pflag.FlagSet) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if *kubeconfig == "" {
			if cmd.Flags().Changed("kubeconfig") || *contextName != "" {
				return errors.New("--kubeconfig names no file; name one, or leave --kubeconfig and --context out for the lab's own cluster")
			}
			var err error
			cmd.Flags().Visit(func(flag *pflag.Flag) {
				if foreign.Lookup(flag.Name) != nil && err == nil {
					err = fmt.Errorf("--%s needs --kubeconfig: it is about a cluster that svclab did not create", flag.Name)
				}
			})
			if err != nil {
				return err
			}
			return lab(cmd, args)
		}
		if given := console.GivenClusterFlags(cmd); given != "" {
			return fmt.Errorf("%s describes the lab's cluster, and --kubeconfig names another; use one of them", strings.TrimSpace(given))
		}
		return nil
	}
}
