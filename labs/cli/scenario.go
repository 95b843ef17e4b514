package cli

import (
	"embed"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/labs/cli/console"
)

//go:embed scaffold
var scaffold embed.FS

func (a *app) scenario() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "scenario",
		Short:   "Write scenarios: see svclab scenario new",
		Long:    "For people who write scenarios, the tests in manifests/scenarios. CONTRIBUTING.md has the recipe.",
		Example: "  svclab scenario new topology-hints",
	}
	cmd.AddCommand(a.scenarioNew())
	return cmd
}

func (a *app) scenarioNew() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Create the folder of a new scenario in the checkout",
		Long: `Creates manifests/scenarios/NAME in the checkout: a scenario about a ClusterIP Service, with a comment at every field. What
you must fill in is marked TODO, and svclab verify refuses the scenario until you have.`,
		Example: "  svclab scenario new topology-hints",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.newScenario(args[0]) },
	}
	a.NeedsCheckout(cmd)
	return cmd
}

func (a *app) newScenario(name string) error {
	if err := scenario.ValidateName(name); err != nil {
		return err
	}
	files, err := fs.Sub(scaffold, "scaffold")
	if err != nil {
		return err
	}
	folder := filepath.Join("manifests", "scenarios", name)
	if err := console.Scaffold(files, filepath.Join(a.Config.Root, folder), name); err != nil {
		return fmt.Errorf("create the scenario: %w", err)
	}
	_, err = fmt.Fprintf(a.Out, `%[1]s is there. Fill in:
  scenario.yaml  the title and the behaviours (IDs are in e2e/scenario/behaviours.go); then what it needs, and its steps
  service.yaml   the objects that it applies
  expect.yaml    who reaches what: by hand, from the Kubernetes documentation
Then check it without a cluster, and run it:
  go test ./manifests
  make build
  svclab verify --describe %[2]s
  make up
  svclab verify %[2]s --verbose
`, folder, name)
	return err
}
