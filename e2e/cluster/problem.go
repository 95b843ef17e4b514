package cluster

import (
	"errors"
	"fmt"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

// What a user can fix. Errors of this package are one of these (errors.Is) when they are a *Problem.
var (
	// ErrNoEngine: no Docker engine answers.
	ErrNoEngine = docker.ErrNoEngine
	// ErrForeignCluster: a cluster, network or namespace of that name exists, and svclab did not make it.
	ErrForeignCluster = errors.New("not made by svclab")
	// ErrPortTaken: the port to be published on this machine is in use.
	ErrPortTaken = errors.New("port taken")
	// ErrLocked: another svclab works with that cluster.
	ErrLocked = errors.New("cluster in use")
	// ErrNotOfRun: a run of the suite would have to delete a cluster that it did not make.
	ErrNotOfRun = errors.New("not made in this run")
	// ErrSettings: a setting has a value that is not allowed.
	ErrSettings = errors.New("bad setting")
	// ErrNoCluster: there is no such cluster.
	ErrNoCluster = errors.New("no such cluster")
	// ErrVersion: the nodes run another version of Kubernetes than Settings.Version.
	ErrVersion = errors.New("wrong Kubernetes version")
	// ErrNoDNS: the cluster has no Service for its DNS; Attach returns the cluster all the same.
	ErrNoDNS = errors.New("no cluster DNS")
)

// Problem is an error that the user can fix; programs end with ExitCode on it.
type Problem struct {
	// Kind is one of the Err values above.
	Kind error
	// What is wrong, and the Fix: a sentence or a command.
	What, Fix string
	// Cause, where there is one, holds the details.
	Cause error
}

func problem(kind error, fix, format string, args ...any) *Problem {
	return &Problem{Kind: kind, What: fmt.Sprintf(format, args...), Fix: fix}
}

// because adds the cause.
func (p *Problem) because(cause error) *Problem {
	p.Cause = cause
	return p
}

// Error says what is wrong and how to fix it.
func (p *Problem) Error() string {
	text := p.What
	if p.Cause != nil {
		text += fmt.Sprintf(" (%v)", p.Cause)
	}
	return text + "; fix: " + p.Fix
}

// Unwrap gives the kind and the cause.
func (p *Problem) Unwrap() []error {
	if p.Cause == nil {
		return []error{p.Kind}
	}
	return []error{p.Kind, p.Cause}
}

// ExitCode is what a program that ends with a problem exits with.
func (p *Problem) ExitCode() int { return 2 }
