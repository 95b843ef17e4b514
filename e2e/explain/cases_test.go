package explain

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// example is a cluster with one fault, and the cause that must be found first.
type example struct {
	id, name string
	spoil    func(*fixture)
	// says and try are parts of the sentence and of the command.
	says, try string
	// note: it must be found as a note, and without any cause.
	note bool
}

// endpointsAre makes every probe from inside the cluster have one outcome.
func endpointsAre(outcome reach.Outcome) func(reach.Vantage, reach.Target) reach.Outcome {
	return func(v reach.Vantage, t reach.Target) reach.Outcome {
		if (v.Kind == reach.Pod || v.Kind == reach.Node) && !t.Undeclared {
			return outcome
		}
		return ""
	}
}

func absentExamples() []example {
	return []example{
		{id: "service-in-other-namespace", says: "there is demo/web", try: "-n demo get service web", spoil: func(f *fixture) { f.Service = "shop/web" }},
		{id: "no-such-service", says: "did you mean demo/web?", try: "get service web", spoil: func(f *fixture) { f.Service = "demo/wbe" }},
		{id: "no-such-service", name: "nothing near", says: "none with a similar name", spoil: func(f *fixture) { f.Service = "demo/database" }},
		{id: "external-name-address", says: "an IP address", try: "EndpointSlice", spoil: func(f *fixture) { f.externalName("192.0.2.7") }},
		{id: "external-name-unresolved", says: "example.com is similar", try: `"externalName":"example.com"`, spoil: func(f *fixture) { f.externalName("exmaple.com") }},
		{id: "external-name-unresolved", name: "another Service", says: "there is no Service ap in the namespace other", try: `"externalName":"api.other.svc.cluster.local"`, spoil: func(f *fixture) {
			f.externalName("ap.other.svc.cluster.local")
			f.World.Elsewhere = []corev1.Service{{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "api"}}}
		}},
		{id: "external-name-port", says: "targetPort 80 has no effect", spoil: func(f *fixture) {
			f.externalName("example.com")
			f.web().Spec.Ports = []corev1.ServicePort{{Port: 81, TargetPort: intstr.FromInt32(80)}}
		}},
		{id: "external-name-host-header", says: "send web.demo.svc.cluster.local", note: true, spoil: func(f *fixture) { f.externalName("example.com") }},
		{id: "external-name-host-header", name: "a server that minds", says: "send web.demo.svc.cluster.local", try: "Host: example.com", spoil: func(f *fixture) {
			f.externalName("example.com")
			f.observed = endpointsAre(reach.WrongAnswer)
		}},
	}
}

func selectionExamples() []example {
	selecting := func(labels map[string]string) func(*fixture) {
		return func(f *fixture) { f.web().Spec.Selector = labels; f.empty() }
	}
	return []example{
		{id: "selector-near-miss", name: "letters", says: "pods a and b are near matches: they have app=web, not app=wbe", try: `{"spec":{"selector":{"app":"web"}}}`, spoil: selecting(map[string]string{"app": "wbe"})},
		{id: "selector-near-miss", name: "case", says: "which differs in case", try: `"app":"web"`, spoil: selecting(map[string]string{"app": "Web"})},
		{id: "selector-near-miss", name: "key", says: "under the key app, not name", try: `"app":"web","name":null`, spoil: selecting(map[string]string{"name": "web"})},
		{id: "selector-near-miss", name: "a label too many", says: "no label tier", try: `"tier":null`, spoil: selecting(map[string]string{"app": "web", "tier": "front"})},
		{id: "selector-near-miss", name: "part of the value", says: "app=web, not app=web-frontend", spoil: selecting(map[string]string{"app": "web-frontend"})},
		{id: "scaled-to-zero", says: "scaled to 0", try: "scale deployment web --replicas=1", spoil: func(f *fixture) {
			f.World.Pods, f.World.Deployments[0].Spec.Replicas = nil, ptr(int32(0))
			f.empty()
		}},
		{id: "pods-missing", says: "serviceaccount shop not found", try: "describe deployment web", spoil: func(f *fixture) {
			f.World.Pods = nil
			f.empty()
			f.event("ReplicaSet", "web-1f", "FailedCreate", "serviceaccount shop not found")
		}},
		{id: "pods-ended", says: "run to their end", try: "logs a", spoil: func(f *fixture) {
			for i := range f.World.Pods {
				f.World.Pods[i].Status.Phase = corev1.PodSucceeded
			}
			f.empty()
		}},
		{id: "selector-matches-nothing", says: "none of the 2 pods in the namespace has similar labels", try: "get pods --show-labels", spoil: selecting(map[string]string{"component": "database"})},
		{id: "selectorless-no-slices", says: "no selector", try: "get endpointslices", spoil: selecting(nil)},
		{id: "selectorless-no-slices", name: "a slice comes near", says: "EndpointSlice web-x is similar", try: "kubernetes.io/service-name=web", spoil: func(f *fixture) {
			f.web().Spec.Selector = nil
			f.World.Slices[0].Labels["kubernetes.io/service-name"] = "wbe"
		}},
		{id: "slice-port-unset", says: `its port "http" has no number`, try: `"value":8080`, spoil: func(f *fixture) {
			f.web().Spec.Selector = nil
			f.World.Slices[0].Ports[0].Port = nil
		}},
		{id: "slice-port-name", says: `no EndpointSlice has a port named "http" for TCP`, try: `"value":"http"`, spoil: func(f *fixture) {
			f.web().Spec.Selector = nil
			f.World.Slices[0].Ports[0].Name = ptr("web")
		}},
	}
}

func podExamples() []example {
	return []example{
		{id: "pod-unschedulable", says: "0/3 nodes are available", try: "describe pod a", spoil: func(f *fixture) {
			f.unready(func(pod *corev1.Pod) {
				pod.Status.Phase, pod.Status.ContainerStatuses = corev1.PodPending, []corev1.ContainerStatus{{Name: "app"}}
				pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/3 nodes are available"})
			})
		}},
		{id: "image-pull", says: "the image shop/web:1", try: "set image deployment/web app=IMAGE", spoil: func(f *fixture) { f.waiting("ImagePullBackOff", "no such host") }},
		{id: "crash-loop", says: "7 times so far, last with exit code 3", try: "logs a --previous", spoil: func(f *fixture) {
			f.waiting("CrashLoopBackOff", "")
			for i := range f.World.Pods {
				s := &f.World.Pods[i].Status.ContainerStatuses[0]
				s.RestartCount, s.LastTerminationState.Terminated = 7, &corev1.ContainerStateTerminated{ExitCode: 3, Reason: "Error"}
			}
		}},
		{id: "container-config", says: `configmap "shop" not found`, spoil: func(f *fixture) { f.waiting("CreateContainerConfigError", `configmap "shop" not found`) }},
		{id: "probe-failing", says: "GET /ready at port 8080 results in: HTTP probe failed with statuscode: 503", try: "edit deployment web", spoil: func(f *fixture) {
			f.unready(func(pod *corev1.Pod) {
				pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(8080)}}}
				f.event("Pod", pod.Name, "Unhealthy", "HTTP probe failed with statuscode: 503")
			})
		}},
		{id: "probe-failing", name: "others answer", says: "1 other endpoint answers", note: true, spoil: func(f *fixture) {
			one := f.World.Slices[0].Endpoints[1]
			f.unready(func(pod *corev1.Pod) {
				pod.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"false"}}}}
			})
			f.World.Slices[0].Endpoints[1] = one
			f.World.Pods[1] = webPod("b", "two", "10.244.2.12")
		}},
		{id: "readiness-gate", says: "example.com/registered", spoil: func(f *fixture) {
			f.unready(func(pod *corev1.Pod) {
				pod.Status.ContainerStatuses[0].Ready = true
				pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/registered"}}
			})
		}},
		{id: "containers-creating", says: "FailedMount, secret shop not found", spoil: func(f *fixture) {
			f.waiting("ContainerCreating", "")
			f.event("Pod", "a", "FailedMount", "secret shop not found")
		}},
		{id: "pods-not-ready", says: "its condition Ready is not true", spoil: func(f *fixture) { f.unready(nil) }},
		{id: "publish-not-ready", says: "pods a and b get traffic", try: `"publishNotReadyAddresses":false`, spoil: func(f *fixture) {
			f.unready(nil)
			f.web().Spec.PublishNotReadyAddresses = true
			for i := range f.World.Slices[0].Endpoints {
				f.World.Slices[0].Endpoints[i].Conditions.Ready = ptr(true)
			}
		}},
		{id: "only-terminating", says: "all endpoints are terminating (a and b): they get the traffic", spoil: func(f *fixture) {
			now := metav1.Now()
			f.unready(func(pod *corev1.Pod) { pod.DeletionTimestamp = &now })
			for i := range f.World.Slices[0].Endpoints {
				c := &f.World.Slices[0].Endpoints[i].Conditions
				c.Serving, c.Terminating = ptr(true), ptr(true)
			}
		}},
	}
}

func portExamples() []example {
	return []example{
		{id: "named-port-unresolved", says: "the names that exist are: http", try: `"/spec/ports/0/targetPort","value":"http"`, spoil: func(f *fixture) {
			f.web().Spec.Ports[0].TargetPort = intstr.FromString("htpp")
			f.World.Slices[0].Ports[0].Port = nil
		}},
		{id: "protocol-mismatch", says: "another protocol: the declared ports are 8080/UDP", try: `"/spec/ports/0/protocol","value":"UDP"`, spoil: func(f *fixture) {
			for i := range f.World.Pods {
				f.World.Pods[i].Spec.Containers[0].Ports[0].Protocol = corev1.ProtocolUDP
			}
			f.observed = endpointsAre(reach.Refused)
		}},
		{id: "loopback-only", says: "only 127.0.0.1 has a listener in pods a and b", spoil: func(f *fixture) {
			f.observed = endpointsAre(reach.Refused)
			local := []Socket{{netip.MustParseAddr("127.0.0.1"), 8080, corev1.ProtocolTCP}}
			f.Sockets = map[string][]Socket{"a": local, "b": local}
		}},
		{id: "loopback-only", name: "not inspected", says: "on 127.0.0.1 only, or not at all", try: "/proc/net/tcp", spoil: func(f *fixture) { f.observed = endpointsAre(reach.Refused) }},
		{id: "target-port-deaf", says: "port 80 leads to 9090/TCP, where nothing listens in pods a and b; the declared ports are 8080/TCP", try: `targetPort","value":8080`, spoil: func(f *fixture) {
			f.web().Spec.Ports[0].TargetPort = intstr.FromInt32(9090)
			f.World.Slices[0].Ports[0].Port = ptr(int32(9090))
			f.observed = endpointsAre(reach.Refused)
		}},
		{id: "target-port-deaf", name: "by its sockets", says: "the listening ports are 8088/TCP", try: `"value":8088`, spoil: func(f *fixture) {
			f.observed = endpointsAre(reach.Refused)
			open := []Socket{{netip.MustParseAddr("0.0.0.0"), 8088, corev1.ProtocolTCP}}
			f.Sockets = map[string][]Socket{"a": open, "b": open}
		}},
		{id: "network-policy", says: "NetworkPolicy deny selects it", try: "describe networkpolicy deny", spoil: func(f *fixture) {
			f.Policies = []networkingv1.NetworkPolicy{{ObjectMeta: metav1.ObjectMeta{Name: "deny"}}}
			f.observed = endpointsAre(reach.TimedOut)
		}},
		{id: "pod-network", says: "the own addresses of a and b", spoil: func(f *fixture) { f.observed = endpointsAre(reach.TimedOut) }},
		{id: "selector-too-wide", says: "deployment/other and deployment/web", spoil: func(f *fixture) {
			f.World.Pods[1].OwnerReferences[0].Name = "other-1f"
		}},
		{id: "selector-too-wide", name: "a label tells them apart", says: "tier=front would select only deployment/web", try: `"tier":"front"`, spoil: func(f *fixture) {
			f.World.Pods[1].OwnerReferences[0].Name = "other-1f"
			f.World.Pods[0].Labels["tier"] = "front"
			f.World.Pods[1].Labels["tier"] = "back"
		}},
	}
}

func balancerExamples() []example {
	return []example{
		{id: "lb-class-unserved", says: "loadBalancerClass example.com/fast", try: "replace --force", spoil: func(f *fixture) {
			f.balanced(true)
			f.web().Spec.LoadBalancerClass = ptr("example.com/fast")
		}},
		{id: "lb-no-controller", says: "no load-balancer controller", try: `"type":"NodePort"`, spoil: func(f *fixture) {
			f.balanced(true)
			f.World.Facts.LoadBalancer = false
		}},
		{id: "lb-pool-exhausted", says: "no address of pool lab (172.18.255.1-172.18.255.9) is free", spoil: func(f *fixture) {
			f.balanced(true)
			f.event("Service", "web", "AllocationFailed", `Failed to allocate IP for "demo/web": no available IPs`)
		}},
		{id: "lb-pool-exhausted", name: "the pool that it names", says: "no address of pool lab", spoil: func(f *fixture) {
			f.balanced(true)
			f.event("Service", "web", "AllocationFailed", `Failed to allocate IP for "demo/web": ["<nil>"] is not allowed in config`)
		}},
		{id: "lb-address-refused", says: "is not allowed in config", try: "describe service web", spoil: func(f *fixture) {
			f.balanced(true)
			f.event("Service", "web", "AllocationFailed", `Failed to allocate IP for "demo/web": ["192.0.2.7"] is not allowed in config`)
		}},
		{id: "lb-pending", says: "has not reported anything yet", spoil: func(f *fixture) { f.balanced(true) }},
		{id: "lb-not-advertised", says: "172.18.255.1 of pool lab", try: "ipAddressPools: [lab]", spoil: func(f *fixture) {
			f.balanced(false)
			f.World.Announcers = map[netip.Addr]string{}
			f.Balancer.Advertisements[0].Pools = []string{"another"}
		}},
		{id: "lb-nodes-excluded", says: "one has the label node.kubernetes.io/exclude-from-external-load-balancers", spoil: func(f *fixture) {
			f.balanced(false)
			f.World.Announcers = map[netip.Addr]string{}
			f.World.Nodes[1].Labels = map[string]string{corev1.LabelNodeExcludeBalancers: ""}
			f.Balancer.Advertisements[0].Nodes = []metav1.LabelSelector{{MatchLabels: map[string]string{"rack": "9"}}}
		}},
		{id: "lb-not-announced", says: "no node reports", spoil: func(f *fixture) {
			f.balanced(false)
			f.World.Announcers = map[netip.Addr]string{}
		}},
		{id: "lb-source-ranges", says: "admit 198.51.100.0/24 only", try: `172.18.0.9/32`, spoil: func(f *fixture) {
			f.balanced(false)
			f.web().Spec.LoadBalancerSourceRanges = []string{"198.51.100.0/24"}
		}},
		{id: "lb-source-ranges", name: "only pods are kept out", says: "pod/cp", note: true, spoil: func(f *fixture) {
			f.balanced(false)
			f.web().Spec.LoadBalancerSourceRanges = []string{"172.18.0.0/16"}
		}},
	}
}

func policyExamples() []example {
	return []example{
		{id: "etp-local-no-endpoint", says: "node cp has no ready endpoint", try: `"externalTrafficPolicy":"Cluster"`, spoil: func(f *fixture) {
			f.nodePort()
			f.web().Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		}},
		{id: "etp-local-no-endpoint", name: "behind a load balancer", says: "node cp has no ready endpoint", note: true, spoil: func(f *fixture) {
			f.balanced(false)
			f.web().Spec.ExternalTrafficPolicy, f.web().Spec.HealthCheckNodePort = corev1.ServiceExternalTrafficPolicyLocal, 30999
		}},
		{id: "itp-local-no-endpoint", says: "clients on it get no answer", try: `"internalTrafficPolicy":"Cluster"`, spoil: func(f *fixture) {
			f.web().Spec.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicyLocal)
		}},
		{id: "external-ip-unrouted", says: "203.0.113.7 belongs to no node", try: "ip route add", spoil: func(f *fixture) { f.web().Spec.ExternalIPs = []string{"203.0.113.7"} }},
		{id: "headless-port", says: "at the targetPort 8080, not at 80", try: `/spec/ports/0/port","value":8080`, spoil: (*fixture).headless},
		{id: "headless-no-vip", says: "no ClusterIP", note: true, spoil: func(f *fixture) {
			f.headless()
			f.web().Spec.Ports[0].Port = 8080
		}},
		{id: "headless-no-vip", name: "a ClusterIP is intended", says: "no ClusterIP", spoil: func(f *fixture) {
			f.headless()
			f.web().Spec.Ports[0].Port = 8080
			f.Intent.At = reach.ClusterIP
		}},
		{id: "affinity", says: "the same pod", note: true, spoil: func(f *fixture) { f.web().Spec.SessionAffinity = corev1.ServiceAffinityClientIP }},
		{id: "affinity", name: "all pods are intended", says: "for 60 s", try: `"sessionAffinity":"None"`, spoil: func(f *fixture) {
			f.web().Spec.SessionAffinity, f.Intent.Spread = corev1.ServiceAffinityClientIP, true
			f.web().Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr(int32(60))}}
		}},
		{id: "health-check-node-port", says: "node cp has none and answers with 503", spoil: func(f *fixture) {
			f.balanced(false)
			f.web().Spec.ExternalTrafficPolicy, f.web().Spec.HealthCheckNodePort = corev1.ServiceExternalTrafficPolicyLocal, 30999
			f.Intent.At = reach.HealthCheck
		}},
		{id: "health-check-node-port", name: "there is none", says: "no healthCheckNodePort", spoil: func(f *fixture) {
			f.balanced(false)
			f.Intent.At = reach.HealthCheck
		}},
	}
}

func intentExamples() []example {
	return []example{
		{id: "node-port-differs", says: "its node port is 30080, not 30081", try: `nodePort","value":30081`, spoil: func(f *fixture) {
			f.nodePort()
			f.Intent.Port = 30081
		}},
		{id: "node-port-differs", name: "taken", says: "30081 is taken by shop/cart", spoil: func(f *fixture) {
			f.nodePort()
			f.Intent.Port = 30081
			f.World.Elsewhere = []corev1.Service{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80, NodePort: 30081}}}}}
		}},
		{id: "port-undeclared", says: "8080 is the targetPort", try: `"port":8080`, spoil: func(f *fixture) { f.Intent.Port = 8080 }},
		{id: "port-undeclared", name: "no port at all", says: "it declares 80", spoil: func(f *fixture) { f.Intent.Port = 443 }},
		{id: "protocol-undeclared", says: "nothing for UDP", try: `"protocol":"UDP"`, spoil: func(f *fixture) { f.Intent.Protocol = reach.UDP }},
		{id: "cluster-ip-only", says: "type is ClusterIP", note: true, spoil: func(*fixture) {}},
		{id: "cluster-ip-only", name: "from outside", says: "not reachable from outside", try: `"type":"NodePort"`, spoil: func(f *fixture) { f.Intent.From = "outside" }},
		{id: "dns-only-inside", says: "does not resolve outside", spoil: func(f *fixture) {
			f.nodePort()
			f.Intent.From, f.Intent.At = "outside", reach.DNSName
		}},
		{id: "node-port-primary-address", says: "not on 127.0.0.1", note: true, spoil: (*fixture).nodePort},
		{id: "node-port-primary-address", name: "localhost", says: "nftables mode", try: "http://172.18.0.2:30080/", spoil: func(f *fixture) {
			f.nodePort()
			f.Intent.At = reach.Localhost
		}},
	}
}

func nodeExamples() []example {
	return []example{
		{id: "node-not-ready", says: "node two is not Ready: kubelet stopped posting; whether it still answers for the Service is unknown, and it runs pod b", spoil: func(f *fixture) {
			f.World.Nodes[2].Status.Conditions[0].Status, f.World.Nodes[2].Status.Conditions[0].Message = corev1.ConditionFalse, "kubelet stopped posting"
		}},
		{id: "kube-proxy-not-running", says: "node two has no kube-proxy pod", try: "k8s-app=kube-proxy", spoil: func(f *fixture) { f.Proxies = f.Proxies[:2] }},
		{id: "still-changing", says: "it still waits for", spoil: func(f *fixture) {
			f.World.Deployments[0].Generation = 9
			f.observed = func(_ reach.Vantage, t reach.Target) reach.Outcome {
				if t.Kind == reach.DNSName {
					return reach.NoSuchHost
				}
				return ""
			}
		}},
		{id: "kube-proxy-behind", says: "only cells that node one handles", spoil: func(f *fixture) {
			f.observed = func(v reach.Vantage, t reach.Target) reach.Outcome {
				if v.Node == "one" && t.Kind == reach.ClusterIP && !t.Undeclared {
					return reach.TimedOut
				}
				return ""
			}
		}},
		{id: "unexplained", says: "no rule explains it", spoil: func(f *fixture) {
			f.observed = func(_ reach.Vantage, t reach.Target) reach.Outcome {
				if t.Kind == reach.ClusterIP && t.Undeclared {
					return reach.Reached
				}
				return ""
			}
		}},
	}
}

// healthy returns clusters without a cause.
func healthy() map[string]func(*fixture) {
	return map[string]func(*fixture){
		"ClusterIP":    func(*fixture) {},
		"NodePort":     (*fixture).nodePort,
		"LoadBalancer": func(f *fixture) { f.balanced(false) },
		"an intent that is met": func(f *fixture) {
			f.balanced(false)
			f.Intent = Intent{From: "outside", At: reach.LoadBalancer, Port: 80, Protocol: reach.TCP, Spread: true}
		},
		"a node port is intended": func(f *fixture) {
			f.nodePort()
			f.Intent = Intent{From: "host", Port: 30080}
		},
		"headless":      func(f *fixture) { f.headless(); f.web().Spec.Ports[0].Port = 8080 },
		"external name": func(f *fixture) { f.externalName("example.com") },
		"iptables mode": func(f *fixture) {
			f.World.Facts.ProxyMode = world.ModeIPTables
			f.nodePort()
		},
		"by hand": func(f *fixture) { f.web().Spec.Selector = nil },
		"two ReplicaSets": func(f *fixture) {
			p := &f.World.Pods[1]
			p.OwnerReferences[0].Name, p.Labels["pod-template-hash"] = "web-2e", "2e"
		},
		"no proxies are known": func(f *fixture) { f.Proxies = nil },
	}
}
