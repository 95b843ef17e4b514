package setup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/svclab/svclab/e2e/releases"
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

// Rules has the proxiers of a release show cases of manifests/releases by the rules that they write in a mode; without a cluster.
// The proxiers are built unless they were built before.
func (c Config) Rules(ctx context.Context, release, mode string, cases []string) ([]releases.Outcome, error) {
	folder, err := os.MkdirTemp("", "svclab-rules-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	file := filepath.Join(folder, "outcomes.json")
	args := []string{"--cases", strings.Join(cases, ","), "--mode", mode, "--json", file}
	_, err = run(ctx, c.options(), []string{"KUBERNETES=" + release}, "test-oracle.sh", args...)
	var exit *ScriptError
	if errors.As(err, &exit) && exit.Code == 1 { // a case is not as known, which the outcomes say
		err = nil
	}
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var outcomes []releases.Outcome
	return outcomes, json.Unmarshal(text, &outcomes)
}
