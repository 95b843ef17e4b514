// Package conformance holds a cluster, whoever made it, to what Services promise: it runs the scenarios that the cluster
// can be asked, and says of each behaviour whether it holds, fails, could not be judged, or was not verified, and why.
//
// It goes in two stages. Survey looks and makes nothing: may the user do what is needed, which nodes are there, what does
// the cluster have. Run then makes namespaces, all of them labelled, and runs. What is made is removed by whoever closes
// the cluster, after Ctrl-C too; what a run that was killed has left behind is removed by the next.
//
// A cluster of others has no vantage outside of it and no nodes to stop. What needs those is left out, step by step, with
// the reason, and never counted as a pass.
package conformance
