// Package suites is svclab's Ginkgo suite: every scenario of manifests/scenarios is a spec, labelled with the behaviours
// it verifies. It is built with the tag e2e only, as it needs a cluster:
//
//	svclab e2e                                           # all of it, with set-up and removal
//	go tool ginkgo --tags e2e --focus nodeport ./e2e/suites  # on a cluster that stays (SVCLAB_KEEP=true)
//
// Before the first spec, the suite brings the cluster up and has the runner run the scenarios whose specs Ginkgo's filters leave,
// side by side as svclab verify does. A spec waits for its scenario's verdict. So all is in one process.
package suites
