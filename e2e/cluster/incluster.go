package cluster

import (
	"fmt"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// InClusterContext is the name of the context in the kubeconfig that InCluster writes.
const InClusterContext = "in-cluster"

// InCluster writes a kubeconfig for the service account of the pod that svclab runs in to a file in dir, and returns the
// file's name: for Connect, and for kubectl. It names the token's file and holds no token.
func InCluster(dir string) (kubeconfig string, err error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return "", problem(ErrNoCluster, "run svclab in a pod that has a service account's token, or name a kubeconfig",
			"this is no pod of a cluster").because(err)
	}
	kubeconfig = filepath.Join(dir, "kubeconfig")
	file := api.NewConfig()
	file.Clusters[InClusterContext] = &api.Cluster{Server: config.Host, CertificateAuthority: config.CAFile}
	file.AuthInfos[InClusterContext] = &api.AuthInfo{TokenFile: config.BearerTokenFile}
	file.Contexts[InClusterContext] = &api.Context{Cluster: InClusterContext, AuthInfo: InClusterContext}
	file.CurrentContext = InClusterContext
	if err := clientcmd.WriteToFile(*file, kubeconfig); err != nil {
		return "", fmt.Errorf("write a kubeconfig for this pod's service account: %w", err)
	}
	return kubeconfig, nil
}
