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
		Long: `Makes sure of a Docker engine, of the images, and of a cluster as the flags say: one that is there and
right is used again, one of svclab's that is otherwise is made anew, one that svclab did not make is refused.`,
		Args: cobra.NoArgs,
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

// bringUp returns the cluster of the configuration, working and locked.
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
		Short: "Delete the lab's cluster, whole",
		Args:  cobra.NoArgs,
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
	cmd.Flags().BoolVar(&engine, "engine", false, "stop svclab's own Docker engine too, if it runs")
	a.ClusterFlags(cmd, "name", "output")
	return cmd
}
