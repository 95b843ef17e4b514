// Package cluster provides the cluster that the suites judge, and every place in it or next to it where a client can stand.
//
// Up creates a kind cluster of svclab's own, or takes the one that it created before, and returns when the cluster works by
// svclab's definition: every node Ready and of the requested version, kube-proxy's rules in place on each, CoreDNS answering
// each, the load balancer admitting its pool, the outside world answering. Attach takes a cluster that Up created without
// changing it; Connect takes any cluster named by a kubeconfig. Down removes everything that Up created.
//
// svclab touches nothing that it did not create. A cluster is svclab's when its nodes are on the Docker network that svclab
// labelled at the very start, so one whose creation was cut off is recognised, and removed, as well.
//
// A Cluster carries probers to its vantages and runs them: it is a probe.Exec.
//
// # e2e-framework
//
// sigs.k8s.io/e2e-framework carries the life of the cluster: its envfuncs create, load, export and destroy the nodes through
// kind.Provider, which is a support.E2EClusterProvider; klient/decoder with its mutators reads the manifests,
// klient/k8s/resources applies and lists objects, and package wait stands on klient/wait. Its Environment is not used: it needs
// a *testing.T, and Ginkgo owns the lifecycle of the suite. What v0.7.0 cannot do, and what an issue there would say:
//   - The kind provider runs a kind program and installs an old one with go install if there is no such program. It reuses a cluster of
//     the same name silently, and deletes it at the end. Its WaitForControlPlane counts pods and ignores whether they are Ready.
//     Hence a provider of our own, and the check of who created a cluster before it is touched.
//   - CreateCluster stores the provider in the context only when the creation has succeeded, so DestroyCluster and
//     ExportClusterLogs do not find a cluster whose creation failed: see Cluster.run. The config's Client panics.
//   - ExportClusterLogs reports its errors as "load image archive".
//   - decoder.DecodeEach has no strict mode, so unknown fields of known kinds are dropped; DecodeEachFile accepts a pattern that
//     matches no file. Hence Decode into unstructured objects, one document at a time.
//   - resources has no Apply; Patch with types.ApplyPatchType does it, and overwrites the object that it is given.
//     WithNamespace changes the receiver, and New accepts no fake client, so tests need an HTTP server.
//   - ExecInPod has no stdin, buffers all output, panics on a bad configuration, and speaks SPDY only. The prober is streamed into
//     pods and fed with requests there, so Cluster.Exec uses client-go's remotecommand.
//   - CreateNamespace creates, and cannot apply; DeleteNamespace does not wait. The namespaces here are part of the manifests.
package cluster
