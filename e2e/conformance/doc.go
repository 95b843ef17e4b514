// Package conformance checks any cluster against the promises of Services. It runs the scenarios that apply to the cluster,
// and reports for each behaviour whether it holds, fails, could not be judged, or was not verified, and why.
//
// It has two stages. Survey only reads: the user's permissions, the nodes, the cluster's features. Run creates labelled
// namespaces and runs the scenarios. Closing the cluster removes what was created, after Ctrl-C too. The next run removes what
// a killed run left.
//
// A cluster that svclab did not create has no vantage outside of it and no nodes that svclab may stop. Steps that need them
// are omitted with the reason, and never count as a pass.
//
// svclab explain uses such a cluster by the same rules, without scenarios: see Visit.
package conformance
