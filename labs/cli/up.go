package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/setup"
)

func (a *app) up() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring the lab's cluster up, building or pulling what it needs",
		Long: `Finds or starts a Docker engine, pulls or builds the images, and creates the cluster that the flags describe. A cluster
that already matches the flags is used again. One of svclab's that differs from them is deleted and created again. A
cluster that svclab did not create is refused.`,
		Example: "  svclab up\n  svclab up --mode iptables --family dual\n  svclab up --kubernetes 1.36 --workers 3",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			c, err := a.bringUp(cmd.Context())
			if err != nil {
				return err
			}
			if err := c.Close(cmd.Context()); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.Out, "KUBECONFIG=%s\n", c.Kubeconfig())
			return err
		},
	}
	a.ClusterFlags(cmd)
	return cmd
}

// bringUp returns the cluster that the configuration describes, ready and locked.
func (a *app) bringUp(ctx context.Context) (*cluster.Cluster, error) {
	settings, err := a.Config.Settings(ctx)
	if err != nil {
		return nil, err
	}
	return cluster.Up(ctx, settings)
}

func (a *app) down() *cobra.Command {
	engine := false
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Delete the lab's cluster completely",
		Long: `Deletes the lab's cluster, its containers outside the cluster, and its kubeconfig. It succeeds if there is no cluster. It
touches nothing that svclab did not create.`,
		Example: "  svclab down\n  svclab down --engine",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := a.Config.Engine(cmd.Context())
			if err != nil {
				return err
			}
			existed, err := cluster.Down(cmd.Context(), settings)
			if err != nil {
				return err
			}
			if !existed {
				_, _ = fmt.Fprintf(a.Err, "svclab: there is no cluster %s\n", a.Config.Name)
			}
			if !engine {
				return nil
			}
			return setup.EngineDown(cmd.Context(), setup.Options{Root: a.Config.Root, Progress: a.Err})
		},
	}
	cmd.Flags().BoolVar(&engine, "engine", false, "also stop svclab's own Docker engine, if it runs")
	a.ClusterFlags(cmd, "name", "output")
	return cmd
}
