// Package cluster gives the suites a cluster to judge and every place a client can stand in or beside it.
//
// Up makes a kind cluster of svclab's own, or takes the one that it made before, and does not return until the cluster
// works by its own definition: every node Ready, kube-proxy's rules in place on each, CoreDNS answering each, the load
// balancer admitting its pool, the outside world answering. Attach takes a cluster that Up made without changing
// it; Existing takes any cluster named by a kubeconfig. Down removes all that Up made.
//
// What svclab did not make it does not touch. A cluster is svclab's when its nodes stand on the Docker network that svclab
// labelled at the very start, so that one whose creation was cut off is recognised, and removed, as well.
//
// A Cluster carries probers to its vantages and runs them: it is a probe.Exec.
package cluster
