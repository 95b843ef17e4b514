package table

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
)

// served is addressed with a load balancer and a node port at its Service, a Service of another namespace, and two clients.
func served() Site {
	s := addressed()
	service := &s.World.Services[0]
	service.Spec.Type, service.Spec.IPFamilies = corev1.ServiceTypeLoadBalancer, []corev1.IPFamily{corev1.IPv4Protocol}
	service.Spec.Ports = []corev1.ServicePort{{Port: 80, NodePort: 30080, Protocol: corev1.ProtocolTCP}}
	service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "172.18.255.1"}}
	foreign := *service.DeepCopy()
	foreign.ObjectMeta = metav1.ObjectMeta{Name: "foreign", Namespace: "other"}
	s.World.Services = append(s.World.Services, foreign)
	s.Vantages = []reach.Vantage{onNode, onPod}
	return s
}

// Every gap is named, with the number of its row or extra target. Missing Services and targets hide what follows from them.
func TestMatchNamesGaps(t *testing.T) {
	pod := scenario.Strings{"pod"}
	clusterIP := scenario.Kinds{reach.ClusterIP}
	declared, undeclared := scenario.Row{From: pod}, scenario.Row{From: pod, To: scenario.To{Undeclared: true}}
	for name, c := range map[string]struct {
		table scenario.Table
		want  []string // the error's lines; nil: none
	}{
		"every Service of the namespace": {scenario.Table{From: pod, Rows: []scenario.Row{declared, undeclared}}, nil},
		"no such Service":                {scenario.Table{From: pod, Services: []string{"nope"}, Rows: []scenario.Row{declared}}, []string{`there is no Service "nope"`, "the table has no cell"}},
		"no such host": {scenario.Table{From: pod, Services: []string{"my-service"}, Kinds: clusterIP, Rows: []scenario.Row{undeclared},
			Extra: []scenario.Extra{{Kind: reach.ClusterIP, Service: "my-service", Host: "{clusterIP:nope}", Port: 1}}},
			[]string{`extra target 1: host "{clusterIP:nope}": no address is known for {clusterIP:nope}`}},
		"a target twice": {scenario.Table{From: pod, Services: []string{"my-service"}, Kinds: clusterIP, Rows: []scenario.Row{declared, undeclared},
			Extra: []scenario.Extra{{Kind: reach.ClusterIP, Service: "my-service", Host: "{clusterIP}", Port: 80}}},
			[]string{"extra target 1: my-service clusterIP:80/TCP is in the table already"}},
		"a row without a cell": {scenario.Table{From: pod, Kinds: clusterIP, Rows: []scenario.Row{declared, undeclared, {From: scenario.Strings{"host"}}}},
			[]string{"row 3 (from host to any target: ) covers no cell"}},
		"a cell without a row": {scenario.Table{From: pod, Kinds: clusterIP, Rows: []scenario.Row{declared}}, []string{"no row covers the cell from pod/worker to my-service clusterIP:81/TCP (undeclared port)"}},
		"two rows":             {scenario.Table{From: pod, Kinds: clusterIP, Rows: []scenario.Row{declared, declared, undeclared}}, []string{"rows 1 and 2 all cover the cell from pod/worker to my-service clusterIP:80/TCP"}},
	} {
		_, err := served().Match(c.table)
		var lines []string
		if err != nil {
			lines = strings.Split(err.Error(), "\n")
		}
		if strings.Join(lines, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s: got\n%s\nwant\n%s", name, strings.Join(lines, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// A pod has no cell for a node's loopback address, and one for each target after it. What is missing does not hide the rest.
func TestLayGoesOn(t *testing.T) {
	table := scenario.Table{Services: []string{"nope", "my-service"}, From: scenario.Strings{"pod"}, Rows: []scenario.Row{{From: scenario.Strings{"pod"}}, {From: scenario.Strings{"pod"}, To: scenario.To{Undeclared: true}}},
		Extra: []scenario.Extra{{Kind: reach.NodePort, Service: "my-service", Host: "{nodeIP:worker2}", Port: 30090}}}
	g, gaps, err := served().Lay(table)
	if err != nil || len(gaps.Services) != 1 {
		t.Errorf("gaps %+v, %v", gaps, err)
	}
	kinds := map[reach.TargetKind]int{}
	for _, c := range g.Cells {
		kinds[c.Target.Kind]++
	}
	if kinds[reach.Localhost] != 0 || kinds[reach.LoadBalancer] != 1 {
		t.Errorf("cells by kind: %v", kinds)
	}
	if last := g.Targets[len(g.Targets)-1]; last.Node != "n2" || last.Slot != "worker2" {
		t.Errorf("the extra node port is at %q, slot %q", last.Node, last.Slot)
	}
}

func TestExpectedNamesTheRow(t *testing.T) {
	reached := scenario.Outcomes{Any: []reach.Outcome{reach.Reached}}
	table := scenario.Table{App: "app=my-app", Rows: []scenario.Row{{}, {Outcome: reached, By: &scenario.By{On: scenario.Strings{"control-plane"}}},
		{Outcome: reached, By: &scenario.By{}, Sees: scenario.Strings{"own-node"}}}}
	for row, want := range map[int]string{1: "row 2: from outside to ", 2: "row 3: sees own-node, from outside to "} {
		if _, err := small().Expected(table, Cell{Vantage: onOutside, Row: row}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("row %d: %v, want %s…", row, err, want)
		}
	}
}

func TestPairs(t *testing.T) {
	clusterIP := scenario.To{Kind: scenario.Kinds{reach.ClusterIP}}
	pairs, err := served().Pairs("my-service", scenario.Strings{"pod"}, clusterIP)
	if err != nil || len(pairs) != 1 || pairs[0].Vantage.Name != "pod/worker" || pairs[0].Target.Port != 80 {
		t.Errorf("%+v, %v", pairs, err)
	}
	if pairs, err := served().Pairs("my-service", scenario.Strings{"pod"}, scenario.To{Kind: scenario.Kinds{reach.Localhost}}); err == nil {
		t.Errorf("a pod's loopback: %+v", pairs)
	}
	if pairs, err := served().Pairs("my-service", scenario.Strings{"node"}, scenario.To{Kind: scenario.Kinds{reach.Localhost}}); err != nil || len(pairs) != 1 {
		t.Errorf("a node's loopback: %+v, %v", pairs, err)
	}
}

func TestReadyPods(t *testing.T) {
	for selector, want := range map[string]string{"app=my-app": "a b", "app=other": ""} {
		if got, err := small().ReadyPods(selector); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v, %v", selector, got, err)
		}
	}
	if _, err := small().ReadyPods("app in"); err == nil || !strings.Contains(err.Error(), `pods "app in"`) {
		t.Errorf("not a selector: %v", err)
	}
}
