package observe

// Policy says in what the uses of the engine differ. The zero value is Suite, the strictest. A field that is set
// weakens a check or shortens a wait, and each policy gives the reason.
type Policy struct {
	// AcceptIdle: objects that do not settle are accepted as they are once nothing moves any more.
	AcceptIdle bool
	// ExpectedDecides: the expected table alone decides whether a cell passes. The oracle decides how the cell is
	// probed and when it has converged, and explains the result. Otherwise oracle, expected table and observation
	// must all agree.
	ExpectedDecides bool
	// MissingFails: a Service, target or backend that the expected table names and that the cluster does not have
	// fails the table, and cells without a row are left out. Otherwise such a table is an error of its author.
	MissingFails bool
	// LookOnce: a step that only reads looks once and does not wait.
	LookOnce bool
	// StopAtFailure: a step that changes something is not run once a step before it has failed.
	StopAtFailure bool
	// HalfConvergence: convergence is bounded by half of the time that scenarios have.
	HalfConvergence bool
	// GiveUpUnanswered: a cell that should have answered and did not until the end of convergence is probed as a denied
	// one is: with fewer probes, each with the shortest timeout.
	GiveUpUnanswered bool
	// NewClients: clients outside the cluster forget their neighbours first; see FlushNeighbours.
	NewClients bool
	// NewServices: no Service was served before in another form, so a proxy that serves one knows its affinity, and
	// convergence sends one probe to a sticky cell in place of as many as would show a second backend.
	NewServices bool
	// ChangedIsInconclusive: a cell that differs is Inconclusive when its prediction changed while it was probed.
	// Otherwise it fails, and the result says what changed.
	ChangedIsInconclusive bool
	// NoTrace: no packet of a cell that differs is followed through the nodes' kernels. An exercise is looked at every second.
	NoTrace bool
}

// Suite is for scenarios. The harness made all the objects and nothing else changes them, so everything that differs
// from the prediction is a failure.
func Suite() Policy { return Policy{} }

// Goal is for the goal of an exercise. The goal is an intent, and most checks find that it is not reached yet:
//
//   - objects that do not settle are judged as they are, because a learner's cluster is mostly wrong;
//   - the expected table alone decides, because the oracle predicts what the learner's objects do;
//   - what the table names and the learner has not made yet is a failed goal, not an error of the exercise;
//   - steps that only read look once, steps that change something wait until everything before them has passed,
//     convergence takes half as long, and cells without an answer get fewer probes, because a person is waiting;
//   - clients outside forget their neighbours, because an address that no node announces any more goes on answering
//     the clients that used it before.
func Goal() Policy {
	return Policy{AcceptIdle: true, ExpectedDecides: true, MissingFails: true, LookOnce: true, StopAtFailure: true,
		HalfConvergence: true, GiveUpUnanswered: true, NewClients: true, NoTrace: true}
}

// Fuzz is for random Services. They may run on a cluster with other users, where node ports come and go: a cell whose
// prediction changed meanwhile says nothing about the oracle. Every Service is new and is never changed, and hundreds of
// sticky cells would each need up to 270 probes per round.
func Fuzz() Policy { return Policy{ChangedIsInconclusive: true, NewServices: true} }

// Histories is Fuzz for Services that are changed while they are probed.
func Histories() Policy { return Policy{ChangedIsInconclusive: true} }

// Explain is for a Service that somebody else made and that usually does not work. Other users may change it while it
// is probed, and a person is waiting.
func Explain() Policy { return Policy{ChangedIsInconclusive: true, GiveUpUnanswered: true} }
