package cluster

import "testing"

func TestCountWatchers(t *testing.T) {
	const metrics = `# TYPE apiserver_longrunning_requests gauge
apiserver_longrunning_requests{component="apiserver",group="",resource="services",scope="cluster",subresource="",verb="WATCH",version="v1"} 15
apiserver_longrunning_requests{component="apiserver",group="discovery.k8s.io",resource="endpointslices",scope="cluster",subresource="",verb="WATCH",version="v1"} 9
apiserver_longrunning_requests{component="apiserver",group="discovery.k8s.io",resource="endpointslices",scope="namespace",subresource="",verb="WATCH",version="v1"} 4
apiserver_longrunning_requests{component="apiserver",group="discovery.k8s.io",resource="endpointslices",scope="cluster",subresource="",verb="WATCH",version="v1beta1"} 2
apiserver_longrunning_requests{component="apiserver",group="discovery.k8s.io",resource="endpointslices",scope="cluster",subresource="",verb="CONNECT",version="v1"} 3
`
	if n, err := countWatchers([]byte(metrics)); err != nil || n != 11 {
		t.Errorf("got %d, %v, want 11", n, err)
	}
	for _, text := range []string{"", "apiserver_longrunning_requests{resource=\"services\"} 1\n",
		`apiserver_longrunning_requests{resource="endpointslices",scope="cluster",verb="WATCH"} many` + "\n"} {
		if n, err := countWatchers([]byte(text)); err == nil {
			t.Errorf("%q: got %d, want an error", text, n)
		}
	}
}
