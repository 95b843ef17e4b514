package world

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// DNSService returns the cluster's DNS Service, if it is there and has an address.
func (w World) DNSService() (service corev1.Service, found bool) {
	all := slices.Concat(w.Elsewhere, w.Services)
	i := slices.IndexFunc(all, func(s corev1.Service) bool {
		isDNS := s.Name == "kube-dns" || s.Labels["k8s-app"] == "kube-dns"
		return isDNS && s.Namespace == "kube-system" && len(ClusterIPs(&s)) > 0
	})
	if i < 0 {
		return service, false
	}
	return all[i], true
}
