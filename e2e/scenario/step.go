package scenario

import "encoding/json"

// Step is one thing done or looked at: a name and exactly one action.
type Step struct {
	// Name is unique in the scenario.
	Name string `json:"name"`
	// Timeout bounds the step; the runner's default where it is not set.
	Timeout Duration `json:"timeout,omitempty"`
	// Within is how long after the objects have settled the traffic of an expect may take to be as predicted; the
	// runner's convergence time where it is not set. It must be shorter than the step's bound.
	Within Duration `json:"within,omitempty"`
	// Family, IPv4 or IPv6, makes it a step for clusters whose Services can have addresses of that IP family; for any
	// other it is not there, as rows of that family are not.
	Family string `json:"family,omitempty"`

	// Apply applies manifest files by server-side apply, in the order given.
	Apply Strings `json:"apply,omitempty"`
	// Delete deletes objects and waits until they are gone.
	Delete []Ref `json:"delete,omitempty"`
	// Patch changes a living object.
	Patch *Patch `json:"patch,omitempty"`
	// Scale sets the replicas of a workload and waits until that many are ready and the others gone.
	Scale *Scale `json:"scale,omitempty"`
	// ReplacePods deletes the pods selected and waits until as many new ones are ready.
	ReplacePods *ReplacePods `json:"replacePods,omitempty"`
	// Reject tries what the API server must refuse.
	Reject *Reject `json:"reject,omitempty"`
	// Run runs a kubectl command as a reader would type it.
	Run *Run `json:"run,omitempty"`
	// Settle waits until the objects agree with each other; expect does so by itself.
	Settle *Settle `json:"settle,omitempty"`
	// Expect observes and judges the named tables of expect.yaml.
	Expect Strings `json:"expect,omitempty"`
	// Check runs a check registered in Go.
	Check *Check `json:"check,omitempty"`
	// Object waits until an object is as described.
	Object *Object `json:"object,omitempty"`
	// Event waits for an event about an object.
	Event *Event `json:"event,omitempty"`
	// Node acts on a node; needs nodeControl and serial.
	Node *Node `json:"node,omitempty"`
	// Traffic starts or stops a steady flow of requests.
	Traffic *Traffic `json:"traffic,omitempty"`
	// Withhold takes cluster-wide objects away; Restore brings them back, at the latest when the scenario ends.
	Withhold []Ref `json:"withhold,omitempty"`
	Restore  []Ref `json:"restore,omitempty"`
}

// Actions names the actions that are set; a valid step has one.
func (s Step) Actions() []string {
	var names []string
	for _, a := range []struct {
		name string
		set  bool
	}{
		{"apply", s.Apply != nil}, {"delete", s.Delete != nil}, {"patch", s.Patch != nil}, {"scale", s.Scale != nil},
		{"replacePods", s.ReplacePods != nil}, {"reject", s.Reject != nil}, {"run", s.Run != nil},
		{"settle", s.Settle != nil}, {"expect", s.Expect != nil}, {"check", s.Check != nil},
		{"object", s.Object != nil}, {"event", s.Event != nil}, {"node", s.Node != nil},
		{"traffic", s.Traffic != nil}, {"withhold", s.Withhold != nil}, {"restore", s.Restore != nil},
	} {
		if a.set {
			names = append(names, a.name)
		}
	}
	return names
}

// Patch changes a living object.
type Patch struct {
	Object Ref `json:"object"`
	// Type is merge (the default), strategic or json.
	Type string `json:"type,omitempty"`
	// Subresource is empty or "status".
	Subresource string `json:"subresource,omitempty"`
	// Body is the patch, written as YAML.
	Body json.RawMessage `json:"body"`
}

// Scale sets the replicas of a Deployment, ReplicaSet or StatefulSet.
type Scale struct {
	Object   Ref   `json:"object"`
	Replicas int32 `json:"replicas"`
}

// ReplacePods deletes pods whose owner makes new ones.
type ReplacePods struct {
	Selector string `json:"selector"`
	// Namespace is the scenario's own where it is empty. Another one needs nodeControl and serial.
	Namespace string `json:"namespace,omitempty"`
	// Slot limits it to the pods of one node.
	Slot string `json:"slot,omitempty"`
}

// Reject is an action the API server must refuse: one of Apply and Patch.
type Reject struct {
	Apply string `json:"apply,omitempty"`
	Patch *Patch `json:"patch,omitempty"`
	// Reason are texts the API's error must contain.
	Reason Strings `json:"reason"`
}

// Run is a kubectl command, with the lab's kubeconfig and the scenario's namespace.
type Run struct {
	// Command is split into words as a shell does, but no shell runs it: no pipes, variables or globs.
	Command string `json:"command"`
	// Exit is the exit code it must end with.
	Exit int `json:"exit,omitempty"`
	// Stdout and Stderr are texts that must be printed there. Runs of blanks count as one blank.
	Stdout Strings `json:"stdout,omitempty"`
	Stderr Strings `json:"stderr,omitempty"`
}

// Settle waits until the namespace's objects agree with each other.
type Settle struct {
	// Allow is as in Table.
	Allow Strings `json:"allow,omitempty"`
}

// Check is a check registered in Go, with its arguments.
type Check struct {
	Name string          `json:"name"`
	Args json.RawMessage `json:"args,omitempty"`
	// Allow is as in Table: a check too looks at settled objects.
	Allow Strings `json:"allow,omitempty"`
}

// Object describes an object as it must become.
type Object struct {
	Ref Ref `json:"ref"`
	// Want must be contained in the object: maps by key, lists element by element and of the same length.
	Want json.RawMessage `json:"want,omitempty"`
	// Path maps JSONPath expressions ("{.spec.type}") to the text they must print.
	Path map[string]string `json:"path,omitempty"`
	// Unset are dotted fields ("status.loadBalancer.ingress") that must be missing or empty.
	Unset Strings `json:"unset,omitempty"`
	// Absent: there must be no such object.
	Absent bool `json:"absent,omitempty"`
	// Holds is how long it must then stay so, watched all the while.
	Holds Duration `json:"holds,omitempty"`
}

// Event is an event about an object, recorded since the scenario began.
type Event struct {
	Object Ref     `json:"object"`
	Reason string  `json:"reason"`
	Type   string  `json:"type,omitempty"`
	Has    Strings `json:"message,omitempty"`
}

// Node acts on a node of the lab's own cluster. One that is stopped is started again when the scenario ends, at the
// latest.
type Node struct {
	// Slot is the node's, or Announcer: the node that announces the load-balancer address of Service when a step first
	// says so, and the same node in every later step.
	Slot    string `json:"slot"`
	Service string `json:"service,omitempty"`
	// Action is start, stop or restart (the whole node), restart-api-server (on the control plane), or exec.
	Action string `json:"action"`
	// Command is run on the node, for exec; it must end with exit code 0.
	Command []string `json:"command,omitempty"`
}

// Announcer is a Node.Slot that only the run knows.
const Announcer = "announcer"

// Traffic starts, awaits or stops a flow: one of Start, Await and Stop.
type Traffic struct {
	Start *TrafficStart `json:"start,omitempty"`
	Await *TrafficAwait `json:"await,omitempty"`
	Stop  *TrafficStop  `json:"stop,omitempty"`
}

// TrafficStart begins a steady flow of requests from one vantage to one target.
type TrafficStart struct {
	Name string `json:"name"`
	// From is one vantage by name.
	From string `json:"from"`
	// To must match exactly one target of the Service it names.
	To        To       `json:"to"`
	PerSecond int      `json:"perSecond"`
	Timeout   Duration `json:"timeout,omitempty"`
}

// TrafficAwait waits until a flow that may have broken off is answered again.
type TrafficAwait struct {
	Name string `json:"name"`
	// Answered is how long every request must have been answered; at least the flow's timeout.
	Answered Duration `json:"answered"`
}

// TrafficStop ends a flow and judges it.
type TrafficStop struct {
	Name string `json:"name"`
	// MinLost is the least number that must have got none, where an outage is to be measured.
	MinLost int `json:"minLost,omitempty"`
	// MaxLost is the largest number of requests that may have got no answer.
	MaxLost int `json:"maxLost"`
	// MaxGap is the longest time without an answer; unbounded where it is not set.
	MaxGap Duration `json:"maxGap,omitempty"`
	// MinAnswered is the least number of answers for the flow to say anything.
	MinAnswered int `json:"minAnswered,omitempty"`
}
