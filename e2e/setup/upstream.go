package setup

import (
	"context"
	"fmt"

	"github.com/svclab/svclab/e2e/upstream"
)

// Upstream builds the end-to-end tests of the configuration's Kubernetes minor and what they need, unless they are there. It
// takes minutes the first time; Log tells.
func (c Config) Upstream(ctx context.Context) (upstream.Programs, error) {
	o := c.options()
	values, err := script(ctx, o, []string{"KUBERNETES=" + o.Kubernetes}, "upstream.sh")
	if err != nil {
		return upstream.Programs{}, err
	}
	p := upstream.Programs{Version: values["VERSION"], Test: values["E2E_TEST"], Ginkgo: values["GINKGO"], Kubectl: values["KUBECTL"]}
	if p.Version == "" || p.Test == "" || p.Ginkgo == "" || p.Kubectl == "" {
		return upstream.Programs{}, fmt.Errorf("scripts/upstream.sh did not say what it built: %q", values)
	}
	return p, nil
}
