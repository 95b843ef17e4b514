// Package steps has the kinds of steps that scenarios and exercises are made of. One kind is one type in one file: its
// fields, what is valid, and how it is described. A new kind is a new file and a line in Kinds.
package steps

import (
	"fmt"
	"strings"

	"github.com/svclab/svclab/e2e/scenario"
)

// Kinds are all kinds of steps, each by the field of a step that has its action. checks are the names of the checks that
// there are; with none, a check may have any name.
func Kinds(checks ...string) []scenario.Kind {
	return []scenario.Kind{
		{Name: "apply", Decode: names[Apply]},              // apply manifests
		{Name: "delete", Decode: decode[Delete]},           // delete objects and wait until they are gone
		{Name: "patch", Decode: decode[Patch]},             // change a living object
		{Name: "scale", Decode: decode[Scale]},             // set the replicas of a workload and wait for them
		{Name: "replacePods", Decode: decode[ReplacePods]}, // delete pods and wait for those that replace them
		{Name: "reject", Decode: decode[Reject]},           // try what the API server must refuse
		{Name: "run", Decode: decode[Run]},                 // run a kubectl command as a reader types it
		{Name: "settle", Decode: decode[Settle]},           // wait until the objects agree with each other
		{Name: "expect", Decode: names[Expect]},            // send requests and judge the tables of expect.yaml
		{Name: "check", Decode: decodeCheck(checks)},       // run a check written in Go
		{Name: "object", Decode: decode[Object]},           // wait until an object is as described
		{Name: "event", Decode: decode[Event]},             // wait for an event about an object
		{Name: "node", Decode: decode[Node]},               // stop, start or restart a node, or run a program on it
		{Name: "traffic", Decode: decode[Traffic]},         // start, await or stop a flow of requests
		{Name: "withhold", Decode: decode[Withhold]},       // delete cluster-wide objects for a while
		{Name: "restore", Decode: decode[Restore]},         // create withheld objects again
	}
}

// decode reads an action from JSON, strictly.
func decode[A scenario.Action](data []byte) (scenario.Action, error) {
	var action A
	err := scenario.DecodeStrict(data, &action)
	return action, err
}

// names reads an action that is a list of names from JSON; one name may stand for a list of one.
func names[A interface {
	scenario.Action
	~[]string
}](data []byte) (scenario.Action, error) {
	var list scenario.Strings
	err := list.UnmarshalJSON(data)
	return A(list), err
}

// ownOnly refuses objects that are not in the scenario's own namespace, unless the scenario may disturb others.
func ownOnly(in scenario.Scenario, action string, refs ...scenario.Ref) error {
	for _, ref := range refs {
		if ref.Kind == "" || ref.Namespace != "" && !in.MayDisturb() || ref.Name == "*" {
			return fmt.Errorf("%s %q: want kind/name in the scenario's own namespace", action, ref)
		}
	}
	return nil
}

// list joins objects for a description.
func list(refs []scenario.Ref) string {
	texts := make([]string, len(refs))
	for i, ref := range refs {
		texts[i] = ref.String()
	}
	return strings.Join(texts, ", ")
}
