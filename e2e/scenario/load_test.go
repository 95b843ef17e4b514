package scenario_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
)

const goodScenario = `
title: A Service answers
behaviours: [clusterip.basic]
needs: {nodes: 2, features: [outside]}
claims: [nodePort/30080]
steps:
  - name: deploy
    apply: [app/my-app.yaml, service.yaml]
    timeout: 90s
  - name: look
    expect: inside
`

const goodExpect = `
tables:
  inside:
    app: app=my-app
    rows:
      - from: pod
        to: [clusterIP, dns]
        outcome: Reached
        by: all
        sees: self
      - from: [node, outside, host]
        to: {kind: clusterIP, undeclared: true}
        outcome: {byMode: {nftables: Refused, iptables: [TimedOut, Unreachable]}}
`

const goodService = `
apiVersion: v1
kind: Service
metadata: {name: my-service}
spec:
  type: NodePort
  selector: {app: my-app}
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
`

const goodApp = `
# a comment before the first document
---
apiVersion: v1
kind: ConfigMap
metadata: {name: my-app}
`

// good is a tree that loads; edits replace, add or (with an empty text) remove files.
func good(edits map[string]string) fstest.MapFS {
	tree := map[string]string{
		"app/my-app.yaml":                  goodApp,
		"scenarios/nodeport/scenario.yaml": goodScenario,
		"scenarios/nodeport/expect.yaml":   goodExpect,
		"scenarios/nodeport/service.yaml":  goodService,
	}
	for name, text := range edits {
		tree[name] = text
		if text == "" {
			delete(tree, name)
		}
	}
	fsys := fstest.MapFS{}
	for name, text := range tree {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func TestLoadAll(t *testing.T) {
	scenarios, err := scenario.LoadAll(good(nil), steps.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	s := scenarios[0]
	if s.Name != "nodeport" || time.Duration(s.Steps[0].Timeout) != 90*time.Second || len(s.Objects["app/my-app.yaml"]) != 1 {
		t.Errorf("loaded %+v", s)
	}
	rows := s.Tables["inside"].Rows
	if got := rows[0].To.Kind; len(got) != 2 || got[1] != reach.DNSName {
		t.Errorf("short form of to: %v", got)
	}
	if got := rows[1].Outcome.For("iptables"); len(got) != 2 || got[0] != reach.TimedOut {
		t.Errorf("outcomes in iptables mode: %v", got)
	}
	if got := rows[1].Outcome.For("unknown"); len(got) != 3 {
		t.Errorf("outcomes in an unknown mode are all that are listed, got %v", got)
	}
	if err := scenario.Lint(good(nil), steps.Kinds()); err != nil {
		t.Errorf("lint: %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	const dir = "scenarios/nodeport/"
	step := func(text string) map[string]string {
		return map[string]string{dir + "scenario.yaml": goodScenario + "  - name: more\n    " + text}
	}
	head := func(old, text string) map[string]string {
		return map[string]string{dir + "scenario.yaml": strings.Replace(goodScenario, old, text, 1)}
	}
	expect := func(old, text string) map[string]string {
		return map[string]string{dir + "expect.yaml": strings.Replace(goodExpect, old, text, 1)}
	}
	service := func(old, text string) map[string]string {
		return map[string]string{dir + "service.yaml": strings.Replace(goodService, old, text, 1)}
	}
	control := func(does ...string) map[string]string { // steps of a scenario that may disturb others
		text := strings.Replace(goodScenario, "[outside]", "[outside, nodeControl]", 1)
		for i, what := range does {
			text += fmt.Sprintf("  - name: more %d\n    %s\n", i, what)
		}
		return map[string]string{dir + "scenario.yaml": text}
	}
	for name, c := range map[string]struct {
		edits map[string]string
		want  string
	}{
		"unknown field":              {head("needs:", "neds:"), `unknown field "neds"`},
		"field in the wrong case":    {head("title:", "Title:"), `unknown field "Title"`},
		"field twice":                {head("title: A Service answers", "title: a\ntitle: b"), `"title" already set`},
		"unknown step field":         {step("aply: [service.yaml]"), `step 3 "more": unknown field "aply"`},
		"two actions":                {step("apply: [service.yaml]\n    expect: inside"), "want exactly one action, got 2 [apply expect]"},
		"no action":                  {step("timeout: 3s"), "want exactly one action, got 0"},
		"within without an expect":   {step("within: 5s\n    apply: [service.yaml]"), "within is for an expect"},
		"action without a value":     {step("settle:"), "settle: it is empty"},
		"apply nothing":              {step("apply: []"), "apply names no manifest"},
		"two errors in two steps":    {map[string]string{dir + "scenario.yaml": goodScenario + "  - {name: a, aply: x}\n  - {name: b, exect: y}\n"}, `step 4 "b": unknown field "exect"`},
		"unknown allow":              {step("settle: {allow: moving}"), `allow "moving"`},
		"step name twice":            {head("name: look", "name: deploy"), "another step has the same name"},
		"unknown behaviour":          {head("clusterip.basic", "clusterip.magic"), `behaviour "clusterip.magic"`},
		"behaviour twice":            {head("[clusterip.basic]", "[clusterip.basic, clusterip.basic]"), "is there twice"},
		"unknown feature":            {head("[outside]", "[moon]"), `feature "moon"`},
		"no title":                   {head("title: A Service answers", "title: ''"), "title is missing"},
		"nothing looked at":          {map[string]string{dir + "scenario.yaml": "title: a\nbehaviours: [udp]\nsteps: [{name: a, settle: {}}]\n", dir + "expect.yaml": "", dir + "service.yaml": ""}, "proves nothing"},
		"missing manifest":           {map[string]string{dir + "service.yaml": ""}, "read service.yaml"},
		"missing table":              {head("expect: inside", "expect: [inside, outside]"), `no table "outside"`},
		"unused table":               {expect("tables:", "tables:\n  other: {rows: [{from: pod, to: dns, outcome: Refused}]}"), `no step expects table "other"`},
		"stray file":                 {map[string]string{dir + "notes.yaml": goodApp}, "notes.yaml: a stray file"},
		"stray file next to it":      {map[string]string{"scenarios/README": "x"}, "scenarios/README: an unused file"},
		"folder without scenario":    {map[string]string{"scenarios/empty/service.yaml": goodService}, "read scenarios/empty/scenario.yaml"},
		"folder name":                {map[string]string{"scenarios/Node_Port/scenario.yaml": goodScenario}, "lower-case words"},
		"same title":                 {map[string]string{"scenarios/other/scenario.yaml": "title: A Service answers\nbehaviours: [udp]\nsteps: [{name: a, run: {command: kubectl version}}]\n"}, "have the same title"},
		"file outside the folder":    {step("apply: ../other/service.yaml"), "is no manifest"},
		"bad timeout":                {head("90s", "90"), "want a duration"},
		"no timeout at all":          {head("90s", "0s"), "more than nothing"},
		"claim twice":                {head("[nodePort/30080]", "[nodePort/30080, nodePort/30080]"), "there twice, or shared as well"},
		"claim shared as well":       {head("claims: [nodePort/30080]", "claims: [nodePort/30080]\nshares: [nodePort/30080]"), "there twice, or shared as well"},
		"unclaimed node port":        {head("nodePort/30080", "nodePort/30081"), "node port 30080 is used but not claimed"},
		"node port in a patch":       {step("patch: {object: service/a, body: {spec: {ports: [{nodePort: 30099}]}}}"), "node port 30099 is used but not claimed"},
		"node port in a JSON patch":  {step("patch: {object: service/a, type: json, body: [{op: add, path: /spec/ports/0/nodePort, value: 30098}]}"), "node port 30098"},
		"node port on the command":   {step("run: {command: kubectl create service nodeport a --tcp=80 --node-port=30097}"), "node port 30097"},
		"load balancer, no feature":  {service("NodePort", "LoadBalancer"), "needs features: [loadBalancer]"},
		"load balancer, pool":        {service("NodePort", "LoadBalancer"), "add loadBalancerPool to shares"},
		"manifest: unknown field":    {service("selector:", "selektor:"), `unknown field "spec.selektor"`},
		"manifest: wrong type":       {service("port: 80", "port: eighty"), "cannot unmarshal"},
		"manifest: key twice":        {service("  type: NodePort", "  type: NodePort\n  type: ClusterIP"), `"type" already set`},
		"manifest: namespace":        {service("{name: my-service}", "{name: my-service, namespace: x}"), "sets metadata.namespace"},
		"manifest: no name":          {service("{name: my-service}", "{}"), "has no metadata.name"},
		"manifest: status":           {service("spec:", "status: {}\nspec:"), "sets status"},
		"manifest: unknown kind":     {service("kind: Service", "kind: Servant"), "no kind \"Servant\""},
		"manifest: object twice":     {map[string]string{dir + "service.yaml": goodService + "---" + goodService}, "is there twice"},
		"manifest: nothing in it":    {map[string]string{dir + "service.yaml": "# nothing\n"}, "it has no object"},
		"row: unknown vantage":       {expect("from: pod", "from: pods"), `row 1: from "pods"`},
		"row: unknown kind":          {expect("[clusterIP, dns]", "clusterIp"), `target kind "clusterIp"`},
		"row: unknown outcome":       {expect("outcome: Reached", "outcome: Denied"), `outcome "Denied"`},
		"row: ProbeFailed expected":  {expect("outcome: Reached", "outcome: ProbeFailed"), `outcome "ProbeFailed"`},
		"row: unknown mode":          {expect("nftables:", "userspace:"), `proxy mode "userspace"`},
		"row: no backend named":      {expect("        by: all\n", ""), "by is missing"},
		"row: unknown by":            {expect("by: all", "by: most"), `by "most"`},
		"row: unknown need":          {expect("by: all", "by: {need: most}"), `by: need "most"`},
		"row: by of bad pods":        {expect("by: all", "by: {pods: 'app in'}"), "by: pods: "},
		"row: by on no slot":         {expect("by: all", `by: {"on": third}`), `by: on "third"`},
		"row: by in no state":        {expect("by: all", "by: {states: asleep}"), `by: state "asleep"`},
		"row: by of names and nodes": {expect("by: all", `by: {names: [outside], "on": own}`), "exclude each other"},
		"row: host where refused":    {expect("undeclared: true}", "undeclared: true}\n        host: web"), "say nothing where nothing is reached"},
		"row: sees where refused":    {expect("undeclared: true}", "undeclared: true}\n        sees: self"), "say nothing where nothing is reached"},
		"row: to no slot":            {expect("undeclared: true", "undeclared: true, node: third"), `node "third"`},
		"row: unknown protocol":      {expect("undeclared: true", "undeclared: true, protocol: ICMP"), `protocol "ICMP"`},
		"table: clients and from":    {expect("    rows:", "    clients: app=a\n    from: pod\n    rows:"), "clients and from exclude each other"},
		"table: bad clients":         {expect("    rows:", "    clients: 'app in'\n    rows:"), "clients: "},
		"table: extra of no service": {expect("    rows:", "    extra: [{kind: clusterIP, host: a, port: 1}]\n    rows:"), "extra target 1: want service, host and port"},
		"table: extra of no host":    {expect("    rows:", "    extra: [{kind: clusterIP, service: a, port: 1}]\n    rows:"), "extra target 1: want service, host and port"},
		"table: extra of no port":    {expect("    rows:", "    extra: [{kind: clusterIP, service: a, host: a}]\n    rows:"), "extra target 1: want service, host and port"},
		"table: extra of no kind":    {expect("    rows:", "    extra: [{kind: clusterIp, service: a, host: a, port: 1}]\n    rows:"), `extra target 1: target kind "clusterIp"`},
		"row: by in two ways":        {expect("by: all", "by: {names: [outside], pods: app=a}"), "exclude each other"},
		"row: itself and pods":       {expect("by: all", "by: {itself: true, states: unready}"), "exclude each other"},
		"row: itself and names":      {expect("by: all", "by: {itself: true, names: [outside]}"), "exclude each other"},
		"row: by where refused":      {expect("outcome: Reached", "outcome: Refused"), "say nothing where nothing is reached"},
		"row: unknown source":        {expect("sees: self", "sees: me"), `sees "me"`},
		"row: by of no app":          {expect("    app: app=my-app\n", ""), "the table's app, which is missing"},
		"row: unknown field in to":   {expect("undeclared: true", "undeclard: true"), `unknown field "undeclard"`},
		"run: not kubectl":           {step("run: {command: rm -r x}"), "want a kubectl command"},
		"run: needs a shell":         {step("run: {command: kubectl get pods | head}"), "needs a shell"},
		"run: another cluster":       {step("run: {command: kubectl --context=prod get pods}"), "leave out --context"},
		"run: another namespace":     {step("run: {command: kubectl -n kube-system delete pods}"), "leaves the scenario's namespace"},
		"patch: another namespace":   {step("patch: {object: kube-system/service/kube-dns, body: {}}"), "may be patched only with"},
		"delete: another namespace":  {step("delete: [kube-system/service/kube-dns]"), "own namespace"},
		"withhold without control":   {step("withhold: [a/b/c]"), "may be withheld only with"},
		"node without control":       {step("node: {slot: worker, action: stop}"), "may be touched only with"},
		"node in no slot":            {step("node: {slot: third, action: start}"), `node slot "third"`},
		"node with a service":        {step("node: {slot: worker, service: a, action: start}"), "goes with slot announcer"},
		"node never started":         {step("node: {slot: announcer, service: a, action: stop}"), "node announcer: the start is missing"},
		"reject without reason":      {step("reject: {apply: service.yaml}"), "reject wants the reason"},
		"traffic never stopped":      {step("traffic: {start: {name: t, from: outside, to: {kind: nodePort, service: a}, perSecond: 5}}"), "traffic t: the stop is missing"},
		"traffic stopped, not begun": {step("traffic: {stop: {name: t, maxLost: 0}}"), "no start before the stop"},
		"traffic awaited, not begun": {step("traffic: {await: {name: t, answered: 1s}}"), "no start before the await"},
		"withheld twice":             {control("withhold: [a/b/c]", "withhold: [a/b/c]", "restore: [a/b/c]"), "a second withhold before the restore"},
		"never restored":             {control("withhold: [a/b/c]"), "a/b/c: the restore is missing"},
		"traffic: two at once":       {step("traffic: {await: {name: t, answered: 1s}, stop: {name: t, maxLost: 0}}"), "one of start, await and stop"},
		"traffic: awaited how long":  {step("traffic: {await: {name: t}}"), "wants answered"},
		"traffic: least above most":  {step("traffic: {stop: {name: t, minLost: 2, maxLost: 1}}"), "maxLost to be 2 at least"},
		"family that there is none":  {step("family: IPv5\n    expect: inside"), `family "IPv5"`},
		"half a pair for a family":   {step("family: IPv6\n    traffic: {stop: {name: t, maxLost: 0}}"), "is for every IP family"},
		"object: says nothing":       {step("object: {ref: service/a}"), "either absent: true or what"},
		"unknown check":              {step("check: {name: nope}"), `check "nope": want one of [known]`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := scenario.LoadAll(good(c.edits), steps.Kinds("known"))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant an error with %q", err, c.want)
			}
		})
	}
}

func TestLoadTakes(t *testing.T) {
	for _, c := range []struct{ old, text string }{
		{"by: all", "by: {names: [outside, web]}"}, {"by: all", "by: {pods: app=a}"}, {"by: all", `by: {"on": [own, target, worker2]}`},
		{"by: all", "by: {states: [ready, unready, terminating], need: any}"}, {"by: all", "by: itself"}, {"by: all", "by: {itself: true}"},
		{"undeclared: true", "undeclared: true, node: own"}, {"undeclared: true", "undeclared: true, node: other"}, {"undeclared: true", "undeclared: true, node: worker2"},
		{"    rows:", "    clients: app=a\n    rows:"}, {"    rows:", "    from: [pod, node/worker]\n    rows:"},
		{"    rows:", "    extra: [{kind: clusterIP, service: a, host: a, port: 1}]\n    rows:"},
	} {
		if _, err := scenario.LoadAll(good(map[string]string{"scenarios/nodeport/expect.yaml": strings.Replace(goodExpect, c.old, c.text, 1)}), steps.Kinds()); err != nil {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

// The texts of selectors, as lists and messages print them.
func TestTexts(t *testing.T) {
	reached := scenario.Outcomes{Any: []reach.Outcome{reach.Reached}}
	for _, c := range []struct {
		text fmt.Stringer
		want string
	}{
		{scenario.To{}, "any target"},
		{scenario.To{Kind: scenario.Kinds{reach.ClusterIP, reach.DNSName}, Service: "web", Name: "web.demo", Port: 80, Protocol: reach.TCP, Node: "own", Family: "IPv6", Undeclared: true},
			"clusterIP, dns of web web.demo:80/TCP on own IPv6 (undeclared port)"},
		{scenario.To{Port: 80}, "any target:80"},
		{scenario.To{Kind: scenario.Kinds{reach.ClusterIP, reach.DNSName}, Port: 80}, "clusterIP:80, dns:80"},
		{scenario.To{Protocol: reach.UDP}, "any target UDP"},
		{scenario.By{Need: "all"}, "every pod"},
		{scenario.By{Need: "any", Pods: "app=a", On: scenario.Strings{"own", "worker"}, States: scenario.Strings{"ready", "unready"}}, "any pod with app=a on the client's node, worker that is ready or unready"},
		{scenario.By{Need: "one"}, "one pod, always the same"},
		{scenario.By{Need: "all", On: scenario.Strings{"target"}}, "every pod on the target's node"},
		{scenario.By{Itself: true}, "that pod"},
		{scenario.By{Names: []string{"outside", "web"}}, "outside, web"},
		{scenario.Row{From: scenario.Strings{"pod", "node"}, Outcome: reached, By: &scenario.By{Need: "all"}}, "from pod, node to any target: Reached by every pod"},
		{scenario.Row{From: scenario.Strings{"host"}, Outcome: scenario.Outcomes{Any: []reach.Outcome{reach.Refused}}}, "from host to any target: Refused"},
		{scenario.Needs{}, ""},
		{scenario.Needs{Nodes: 2, Features: []scenario.Feature{"outside"}, ProxyModes: []string{"nftables", "iptables"}}, "2 nodes, outside, kube-proxy in mode nftables or iptables"},
	} {
		if got := c.text.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestParseRef(t *testing.T) {
	for text, want := range map[string]scenario.Ref{"Service/a": {Kind: "service", Name: "a"}, "n/pod/b": {Namespace: "n", Kind: "pod", Name: "b"}} {
		if got, err := scenario.ParseRef(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "a", "/a", "a//b", "a/b/c/d"} {
		if got, err := scenario.ParseRef(bad); err == nil {
			t.Errorf("%q is taken: %+v", bad, got)
		}
	}
}

func TestProfiles(t *testing.T) {
	for _, c := range []struct {
		run, of scenario.Profile
		holds   bool
	}{{scenario.Core, scenario.Core, true}, {scenario.Core, scenario.Extended, false}, {scenario.Extended, scenario.Core, true}, {scenario.Extended, scenario.Extended, true}} {
		if c.run.Holds(c.of) != c.holds {
			t.Errorf("a run of %s is about a behaviour of %s: want %t", c.run, c.of, c.holds)
		}
	}
	if scenario.Duration(0).Or(time.Second) != time.Second || scenario.Duration(time.Minute).Or(time.Second) != time.Minute {
		t.Error("the fallback is for a duration that is not set, and only for that")
	}
}

func TestMatchVantage(t *testing.T) {
	v := reach.Vantage{Name: "pod/worker", Kind: reach.Pod}
	for from, want := range map[string]bool{"any": true, "pod": true, "pod/worker": true, "node": false, "pod/worker2": false} {
		if scenario.MatchVantage(scenario.Strings{from}, v) != want {
			t.Errorf("%s matches %s: want %t", from, v.Name, want)
		}
	}
}

func TestLoadEmptyFolder(t *testing.T) {
	fsys := good(nil)
	fsys["scenarios/empty"] = &fstest.MapFile{Mode: 0o755 | 1<<31}
	if _, err := scenario.LoadAll(fsys, steps.Kinds()); err == nil || !strings.Contains(err.Error(), "scenarios/empty: the folder is empty") {
		t.Errorf("got %v", err)
	}
	if _, err := scenario.LoadAll(fstest.MapFS{"scenarios": &fstest.MapFile{Mode: 0o755 | 1<<31}}, steps.Kinds()); err == nil || !strings.Contains(err.Error(), "there is no scenario") {
		t.Errorf("no scenario at all: got %v", err)
	}
}

func TestLoadNames(t *testing.T) {
	if s, err := scenario.Load(good(nil), []string{"nodeport"}, steps.Kinds()); err != nil || len(s) != 1 {
		t.Errorf("got %v, %v", s, err)
	}
	if _, err := scenario.Load(good(nil), []string{"nodport"}, steps.Kinds()); err == nil || !strings.Contains(err.Error(), "there are nodeport") {
		t.Errorf("a name that is not there: got %v", err)
	}
	if _, err := scenario.Load(good(nil), []string{"nodeport", "nodeport"}, steps.Kinds()); err == nil {
		t.Error("a name given twice is taken")
	}
}

func TestLintFindsUnusedManifests(t *testing.T) {
	err := scenario.Lint(good(map[string]string{"app/other.yaml": goodApp}), steps.Kinds())
	if err == nil || !strings.Contains(err.Error(), "app/other.yaml: a stray file") {
		t.Errorf("got %v", err)
	}
}

func TestWords(t *testing.T) {
	got, err := scenario.Words("kubectl expose deployment my-app \\\n  --type=NodePort -p '{\"a\": [1]}' \"b \\\" c\" ''")
	want := []string{"kubectl", "expose", "deployment", "my-app", "--type=NodePort", "-p", `{"a": [1]}`, `b " c`, ""}
	if err != nil || strings.Join(got, "§") != strings.Join(want, "§") {
		t.Errorf("got %q, %v", got, err)
	}
	for _, bad := range []string{"kubectl get 'a", "kubectl get $X", "kubectl a; b", `kubectl "$(x)"`, "kubectl \\"} {
		if words, err := scenario.Words(bad); err == nil {
			t.Errorf("%q is taken: %q", bad, words)
		}
	}
}

func TestDescribe(t *testing.T) {
	scenarios, err := scenario.LoadAll(good(nil), steps.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := scenario.Describe(&out, scenarios[0]); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"needs    2 nodes, outside", "claims   nodePort/30080",
		"1. deploy: apply app/my-app.yaml, service.yaml\n", "2. look: expect inside\n",
		"FROM                 TO                           OUTCOME", "clusterIP, dns", "every pod", "TimedOut or Unreachable in iptables"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("missing %q in\n%s", want, out.String())
		}
	}
	for _, unused := range []string{"CNAME", "shares", "runs alone", "where the cluster has", " of ", "probed", "in each IP family", "mode nftables"} {
		if strings.Contains(out.String(), unused) {
			t.Errorf("%q is printed though the scenario has none:\n%s", unused, out.String())
		}
	}
	s := scenarios[0]
	s.Shares = []string{"loadBalancerPool"}
	tb := s.Tables["inside"]
	tb.Title, tb.Services, tb.Clients, tb.EachFamily = "two Services", []string{"a", "b"}, "app=c", true
	s.Tables["inside"] = tb
	s.Claims = nil
	out.Reset()
	if err := scenario.Describe(&out, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"  shares   loadBalancerPool\n", `expected table "two Services" of a, b, pods with app=my-app, probed by pods with app=c, in each IP family` + "\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("missing %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "claims") {
		t.Errorf("claims are printed though the scenario has none:\n%s", out.String())
	}
}
