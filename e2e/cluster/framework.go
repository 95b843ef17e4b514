package cluster

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/e2e-framework/klient"
	"sigs.k8s.io/e2e-framework/pkg/env"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/support"

	"github.com/svclab/svclab/e2e/cluster/kind"
)

// run runs an environment function of e2e-framework on the cluster's nodes. It puts the provider into the context first:
// envfuncs do so only after a successful creation, and a failed one must be exported and destroyed as well.
func (c *Cluster) run(ctx context.Context, do env.Func) error {
	_, err := do(context.WithValue(ctx, support.ClusterNameContextKey(c.settings.Name), c.provider), envconf.New())
	return err
}

// checkVersion returns ErrVersion when a node of the connected cluster runs another version than the settings request.
func (c *Cluster) checkVersion(ctx context.Context) error {
	client, err := klient.New(c.config)
	if err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	return c.wrongVersion(c.provider.CheckVersion(ctx, client))
}

// wrongVersion makes a *Problem of a *kind.VersionError, and returns any other error as it is.
func (c *Cluster) wrongVersion(err error) error {
	var wrong *kind.VersionError
	if !errors.As(err, &wrong) {
		return err
	}
	return problem(ErrVersion, fmt.Sprintf("run svclab down, remove that image (docker image rm %s) and run svclab up, which provides it again; or request Kubernetes %s",
		c.settings.Images.Node, wrong.Has), "%v: the node image %s does not hold the version that it was requested for", wrong, c.settings.Images.Node)
}
