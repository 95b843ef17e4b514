package steps

import (
	"fmt"

	"github.com/svclab/svclab/e2e/scenario"
)

// Scale sets the replicas of a Deployment, ReplicaSet or StatefulSet, and waits until that many are ready and the others
// gone.
type Scale struct {
	Object   scenario.Ref `json:"object"`
	Replicas int32        `json:"replicas"`
}

// Validate wants a workload of the scenario's own.
func (s Scale) Validate(in scenario.Scenario) error { return ownOnly(in, "scale", s.Object) }

// Describe names the workload and the number.
func (s Scale) Describe() string { return fmt.Sprintf("scale %s to %d", s.Object, s.Replicas) }

// ReadOnly is false.
func (Scale) ReadOnly() bool { return false }
