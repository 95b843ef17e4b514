// Package suites is svclab's Ginkgo suite: every scenario of manifests/scenarios is a spec, labelled with the behaviours
// it verifies. It is built with the tag e2e only, as it needs a cluster:
//
//	svclab e2e                                           # all of it, with set-up and removal
//	go tool ginkgo --tags e2e --focus nodeport ./e2e/suites  # on a cluster that stays (SVCLAB_KEEP=true)
//
// The first process brings the cluster up and hands its settings to the others; specs that need the same node port or
// address pool wait for each other across processes; the first process writes the reports when all is done.
package suites
