package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/progress"
)

// untouched makes a machine on which bad input changes nothing: the test fails if svclab runs a program, which may be the one that
// finds an engine or speaks to a cluster, or sends the cluster of the file kubeconfig a request. It returns the folder that the
// table's files are in.
func untouched(t *testing.T) string {
	folder, programs := t.TempDir(), t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	ran := filepath.Join(folder, "ran")
	for _, name := range []string{"bash", "sh", "docker", "go", "git", "kubectl", "kind"} {
		if err := os.WriteFile(filepath.Join(programs, name), []byte("#!/bin/sh\necho \"$0 $*\" >>"+ran+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("the cluster got a request: %s", r.URL) }))
	t.Cleanup(server.Close)
	t.Cleanup(func() {
		if said, err := os.ReadFile(ran); err == nil {
			t.Errorf("bad input ran programs:\n%s", said)
		}
	})
	for name, text := range map[string]string{
		"kubeconfig": "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], clusters: [{name: c, cluster: {server: '" +
			server.URL + "'}}], users: [{name: u, user: {token: t}}]}",
		"empty": "", "broken": "{]", "text": "not what it should be", "tomorrow": `{"apiVersion":"svclab.dev/v9","kind":"Run"}`, "binary": "\x00\xff\x1b[2J",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := report.WriteAll(filepath.Join(folder, "good"), report.Run{Tool: "svclab"}); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"PATH": programs, "DOCKER_HOST": "unix:///nowhere/docker.sock", "SVCLAB_ENGINE": "", "XDG_STATE_HOME": folder, "LC_ALL": "C",
		"KUBERNETES_SERVICE_HOST": "", "SVCLAB_ROOT": root} {
		t.Setenv(name, value)
	}
	if err := progress.Save(filepath.Join(folder, "svclab"), progress.Progress{Current: "04"}); err != nil {
		t.Fatal(err)
	}
	return folder
}

// refused calls the command with bad input. It ends with exit code 2, no result and one error, which has the wanted texts.
func refused(t *testing.T, args []string, want ...string) {
	t.Helper()
	out, err, code := call(t, args...)
	if code != 2 || out != "" || strings.Count(err, "svclab: error: ") != 1 || !strings.HasPrefix(err, "svclab: error: ") {
		t.Errorf("%q: exit code %d, printed %q and %q; want 2, nothing, and one error", args, code, out, err)
	}
	for _, want := range want {
		if !strings.Contains(err, want) {
			t.Errorf("%q: %q is missing from %q", args, want, err)
		}
	}
	if strings.ContainsAny(err, "\x00\x1b") || strings.Contains(err, "%!") {
		t.Errorf("%q: %q", args, err)
	}
}

// needed are arguments without which a verb refuses its flags.
var needed = map[string][]string{"svclab explain": {"web"}, "svclab watch": {"--web"}, "svclab picture": {"good/result.json", "a/b"}, "svclab diff": {"good/result.json", "good/result.json"},
	"svclab trace": {"pod/worker", "a/b"}, "svclab trace diff": {"good/result.json", "good/result.json"}, "svclab learn hint": {"2"}, "svclab merge": {"good/result.json"}, "svclab scenario new": {"new-one"}, "svclab learn new": {"new-one"},
	"svclab learn join": {"http://127.0.0.1:1", "ABCD-2345"}, "svclab learn class": {"--serve"}}

// values are wrong values of flags, and what the error says. A flag has the same ones in all verbs that have it, but for those
// that are named with their verb. FOLDER is the folder of untouched.
var values = map[string][]struct {
	value string
	want  []string
}{
	"name":         {{"", []string{"lower-case"}}, {"My_Cluster", []string{`"My_Cluster"`, "lower-case"}}, {"../../x", []string{"lower-case"}}, {strings.Repeat("a", 41), []string{"at most 40"}}},
	"mode":         {{"", []string{"nftables or iptables"}}, {"ipvs", []string{`"ipvs"`, "nftables or iptables"}}},
	"family":       {{"", []string{"ipv4 or dual"}}, {"ipv5", []string{`"ipv5"`, "ipv4 or dual"}}},
	"kubernetes":   {{"latest", []string{"--kubernetes=latest", "1.34, 1.35, 1.36, 1.37"}}, {"1", []string{"1.34"}}, {"1.*", []string{"1.34"}}, {"../1.37", []string{"1.34"}}},
	"proxy":        {{"1.33", []string{`"v1.33"`, "such as v1.33.0"}}, {"v1.28.0", []string{"no nftables mode", "v1.29.0"}}, {"v1.33.0;true", []string{"such as v1.33.0"}}},
	"coredns":      {{"1.12", []string{`"v1.12"`, "such as v1.12.0"}}, {"main", []string{"such as v1.12.0"}}, {"v1.12.0;true", []string{"such as v1.12.0"}}},
	"images":       {{"PULL", []string{"--images=PULL", "auto, pull or build"}}},
	"workers":      {{"-1", []string{"0 to 9"}}, {"100", []string{`"100"`, "0 to 9"}}},
	"host-port":    {{"80", []string{`"80"`, "30000 to 32767"}}, {"-1", []string{"30000 to 32767"}}, {"95616", []string{"--host-port=95616 is no port", "30000 to 32767"}}},
	"output":       {{"FOLDER/text", []string{"not a directory", "name a folder"}}, {"FOLDER/text/x", []string{"not a directory", "name a folder"}}, {"", []string{"name a folder"}}},
	"procs":        {{"0", []string{"--procs=0", "1"}}, {"-1", []string{"--procs=-1"}}, {"1000000", []string{"--procs=1000000", "64"}}},
	"label-filter": {{"(", []string{"no label filter", "scenario:nodeport"}}, {"a &&", []string{"no label filter"}}, {"/(/", []string{"no label filter"}}, {"scenario:teleport", []string{"svclab verify --list"}}},
	"focus":        {{"(", []string{"--focus: ", "missing closing )"}}, {"teleport", []string{"svclab verify --list"}}},
	"shard":        {{"", []string{"write it as 2/4"}}, {"2", []string{"write it as 2/4"}}, {"0/4", []string{"1/4 to 4/4"}}, {"5/4", []string{"1/4 to 4/4"}}, {"a/b", []string{"write it as 2/4"}}},
	"seed":         {{"-1", []string{"--seed"}}},
	"timeout":      {{"0s", []string{"more than 0"}}, {"-1s", []string{"more than 0"}}, {"5", []string{"missing unit"}}},

	"count": {{"0", []string{"--count 1 or more"}}, {"-1", []string{"--count 1 or more"}}},
	"batch": {{"0", []string{"--batch 1 to 60"}}, {"61", []string{"--batch 1 to 60"}}},
	"cells": {{"0", []string{"--cells 1 or more"}}},

	"modes":        {{"", []string{"at least one of --modes"}}, {"nftables,ipvs", []string{`"ipvs"`, "nftables or iptables"}}, {"iptables,iptables", []string{"name each once"}}},
	"releases":     {{"", []string{"at least one of --releases"}}, {"1.33", []string{"--releases: ", "v1.33.0"}}, {"v1.33.0,v1.33.0", []string{"name each once"}}},
	"cases":        {{"teleport", []string{"--cases=teleport", "udp-last-endpoint"}}},
	"scenarios":    {{"teleport", []string{`"teleport"`, "nodeport"}}},
	"histories":    {{"-1", []string{"--histories"}}},
	"first":        {{"-1", []string{"from number -1"}}},
	"inject":       {{"teleport", []string{`"teleport"`, "svclab mutants --list"}}, {"connections-forgotten", []string{"give --histories"}}},
	"shrink":       {{"-1s", []string{"--shrink 0s or more"}}},
	"operations":   {{"0", []string{"--operations 1 or more"}}},
	"side-by-side": {{"0", []string{"--side-by-side 1"}}, {"1000", []string{"--side-by-side 1"}}},

	"ip":                    {{"5", []string{"--ip 5 is not 4 or 6"}}, {"-4", []string{"is not 4 or 6"}}},
	"svclab trace protocol": {{"icmp", []string{"TCP or UDP"}}},
	"svclab trace format":   {{"xml", []string{"text, json, svg or mermaid"}}, {"", []string{"text, json, svg or mermaid"}}},
	"fuzz":                  {{"-1", []string{"--fuzz=-1", "0 or more"}}},

	"families": {{"", []string{"one of --families"}}, {"dual,ipv5", []string{`"ipv5"`, "ipv4 or dual"}}, {`"`, []string{"--families"}}},

	"kubeconfig": {{"", []string{"--kubeconfig"}}, {"/nowhere", []string{"/nowhere cannot be used", "name a kubeconfig"}}, {"FOLDER", []string{"is a directory", "name a kubeconfig"}},
		{"FOLDER/broken", []string{"name a kubeconfig"}}, {"FOLDER/empty", []string{"name a kubeconfig"}}, {"FOLDER/binary", []string{"name a kubeconfig"}}},
	"context":              {{"other", []string{`context "other" does not exist`, "a context that is in it"}}},
	"profile":              {{"full", []string{"core or extended"}}, {"", []string{"core or extended"}}},
	"features":             {{"speed", []string{`"speed"`, "dualStack"}}, {"dualStack,-dualStack", []string{"both present and absent"}}, {"-", []string{"--features"}}},
	"behaviour":            {{"teleport", []string{`no behaviour "teleport"`, "clusterip.basic"}}, {"loadbalancer.basic", []string{"profile core has no behaviour"}}},
	"image":                {{"A B", []string{"--image: ", "such as"}}, {"x:y:z", []string{"--image: "}}},
	"image-registry":       {{"http://x/", []string{"--image-registry http://x/ is a URL", "such as"}}, {"A B", []string{"--image-registry: "}}},
	"pull-secret":          {{"/nowhere", []string{"no such file", "config.json of Docker"}}, {"FOLDER", []string{"is a directory"}}, {"FOLDER/broken", []string{"not JSON", "config.json of Docker"}}, {"FOLDER/empty", []string{"not JSON"}}},
	"label":                {{"x", []string{"key=value"}}, {"a b=c", []string{"--label a b=c: ", "must consist of"}}, {"a=b c", []string{"--label a=b c: "}}, {"=x", []string{"--label =x: "}}},
	"annotation":           {{"x", []string{"key=value"}}, {"a b=c", []string{"--annotation a b=c: ", "must consist of"}}},
	"priority-class":       {{"A B", []string{"--priority-class A B: ", "lower case"}}},
	"sample":               {{"0", []string{"use 1 or more"}}, {"-1", []string{"use 1 or more"}}},
	"load-balancer-within": {{"0s", []string{"such as 15s"}}, {"-1s", []string{"such as 15s"}}},
	"time-limit":           {{"1s", []string{"1m to 168h"}}, {"-1h", []string{"1m to 168h"}}, {"100000h", []string{"1m to 168h"}}},
	"kubectl":              {{"/nowhere/kubectl", []string{"--kubectl: ", "install it"}}, {"", []string{"--kubectl: "}}, {"kubectl-of-tomorrow", []string{"--kubectl: "}}},

	"namespace":              {{"", []string{"NAMESPACE/SERVICE"}}, {"Bad_Name", []string{`namespace "Bad_Name"`, "NAMESPACE/SERVICE"}}},
	"svclab watch namespace": {{"", []string{"--namespace", "is no namespace"}}, {"Bad_Name", []string{"--namespace Bad_Name is no namespace"}}},
	"from":                   {{"moon", []string{"pod, node, outside or host"}}, {"node/", []string{"node/worker"}}},
	"at":                     {{"moon", []string{"the kinds are clusterIP"}}},
	"port":                   {{"70000", []string{"out of range"}}, {"-1", []string{"--port"}}},
	"protocol":               {{"icmp", []string{"TCP, UDP or SCTP"}}},

	"lang":                        {{"xx", []string{"en or zh"}}, {"EN", []string{"en or zh"}}},
	"answer":                      {{"moon", []string{"matches no question"}}, {"=", []string{"matches no question"}}},
	"svclab learn predict answer": {{"moon", []string{"--answer moon is no outcome", "Reached"}}, {"", []string{"is no outcome"}}},
	"faults":                      {{"0", []string{"--faults 1 to 3"}}, {"4", []string{"--faults 1 to 3"}}, {"-1", []string{"--faults 1 to 3"}}},
	"only":                        {{"moon", []string{"--only moon", "01"}}},
	"format":                      {{"xml", []string{"json or junit"}}, {"", []string{"json or junit"}}},
	"svclab migrate format":       {{"xml", []string{"text, json or html"}}, {"", []string{"text, json or html"}}},
	"svclab migrate from":         {{"ipvs", []string{`"ipvs"`, "nftables or iptables"}}, {"nftables@", []string{"nftables@1.35"}}, {"@2.1", []string{"nftables@1.35"}}},
	"to":                          {{"userspace", []string{"nftables or iptables"}}, {"@1.x", []string{"nftables@1.35"}}},
	"services": {{"", []string{"--services"}}, {"/nowhere", []string{"no such file", "kubectl get"}}, {"FOLDER", []string{"is a directory"}}, {"FOLDER/broken", []string{"broken"}},
		{"FOLDER/empty", []string{"no Service", "kubectl get"}}, {"FOLDER/binary", []string{"binary"}}},

	"svclab learn join name": learnersName, "svclab learn certificate name": learnersName, "svclab learn export name": learnersName,
	"classroom": {{"", []string{"--classroom names no folder"}}, {"FOLDER/text", []string{"not a directory", "name another folder"}}},
	"exercise":  {{"99", []string{"--exercise and --ref are for --classroom"}}},
	"ref":       {{"", []string{"are for --classroom"}}},
	"listen":    {{"", []string{"--listen", "such as 192.168.1.10:8090"}}, {"0.0.0.0:8090", []string{"no address of this machine"}}, {"moon", []string{"no address of this machine"}}},
	"code":      {{"", []string{"--code", "no code of a class"}}, {"1234", []string{"no code of a class"}}},
	"result":    {{"FOLDER", []string{"exists already"}}},
}

// learnersName are texts that are no name of a learner.
var learnersName = []struct {
	value string
	want  []string
}{{"a\tb", []string{"--name", "cannot be printed"}}, {strings.Repeat("x", 41), []string{"longer than 40"}}}

// unused are flags of a verb that another of its flags, or what it is about, leaves without wrong values of their own.
var unused = map[string]string{
	"svclab down output":        "down deletes a cluster whatever stands there",
	"svclab doctor output":      "doctor writes nothing",
	"svclab merge output":       "it reads first, and what it is given here is no shard",
	"svclab learn grade output": "it looks for answers first",
	"svclab learn next output":  "it says first that the exercise is not passed",
	"svclab learn answer":       "", "svclab learn start answer": "", "svclab learn next answer": "", "svclab learn check answer": "", "svclab learn watch answer": "",
}

// Every flag of every verb refuses a value that is missing, that is of another type, and that is not one of its values, before a
// program is started or a cluster gets a request.
func TestBadFlags(t *testing.T) {
	folder := untouched(t)
	tried := 0
	for _, verb := range verbs() {
		path := verb.CommandPath()
		args := slices.Concat(strings.Fields(path)[1:], needed[path])
		for i := range args {
			args[i] = strings.Replace(args[i], "good/", folder+"/good/", 1)
		}
		refused(t, append(slices.Clone(args), "--moon"), "unknown flag: --moon", path+" --help")
		verb.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) {
			if flag.Name == "help" || flag.Name == "version" {
				return
			}
			var wrong []string
			switch flag.Value.Type() {
			case "bool":
				wrong = []string{"maybe", "2"}
			case "int", "uint", "uint16", "uint64":
				wrong = []string{"", "two", "1.5", "1e3", "99999999999999999999"}
			case "duration":
				wrong = []string{"", "soon", "5"}
			}
			for _, value := range wrong {
				refused(t, append(slices.Clone(args), "--"+flag.Name+"="+value), `invalid argument "`+value+`"`, "--"+flag.Name, path+" --help")
			}
			tried += len(wrong) + 1
			if flag.Value.Type() == "bool" {
				return
			}
			refused(t, append(slices.Clone(args), "--"+flag.Name), "flag needs an argument: --"+flag.Name, path+" --help")
			known, listed := values[path+" "+flag.Name]
			if !listed {
				known, listed = values[flag.Name]
			}
			if !listed {
				t.Errorf("%s --%s: no wrong value of it is in the table", path, flag.Name)
			}
			if _, none := unused[path+" "+flag.Name]; none {
				return
			}
			for _, k := range known {
				tried++
				given := append(slices.Clone(args), "--"+flag.Name+"="+strings.Replace(k.value, "FOLDER", folder, 1))
				if path == "svclab conformance" && flag.Name != "kubeconfig" || slices.Contains([]string{"svclab explain", "svclab trace"}, path) && foreign(verb, flag) ||
					slices.Contains([]string{"svclab watch", "svclab migrate"}, path) && flag.Name == "context" {
					given = append(given, "--kubeconfig="+filepath.Join(folder, "kubeconfig"))
				}
				refused(t, given, k.want...)
			}
		})
	}
	if tried < 500 {
		t.Errorf("only %d values were tried", tried)
	}
}

// foreign reports whether a flag of explain is about a cluster that svclab did not create.
func foreign(_ *cobra.Command, flag *pflag.Flag) bool {
	return strings.HasPrefix(flag.Usage, "with --kubeconfig: ") || flag.Name == "context"
}

// Every verb refuses arguments that it does not take, that are missing, and that name nothing.
func TestBadArguments(t *testing.T) {
	folder := untouched(t)
	good := filepath.Join(folder, "good", report.JSONFile)
	kubeconfig := "--kubeconfig=" + filepath.Join(folder, "kubeconfig")
	for _, verb := range verbs() {
		path := verb.CommandPath()
		if verb.HasSubCommands() && !verb.Runnable() {
			refused(t, append(strings.Fields(path)[1:], "fly"), path+` has no verb "fly"`, path+" --help")
			continue
		}
		refused(t, append(strings.Fields(path)[1:], ""), "an argument is empty; usage: "+verb.UseLine())
		if !strings.Contains(verb.Use, "…") && path != "svclab learn" {
			refused(t, append(strings.Fields(path)[1:], "a", "b", "c"), "usage: "+verb.UseLine())
		}
	}
	file := map[string]string{}
	for _, name := range []string{"empty", "broken", "text", "tomorrow", "binary"} {
		file[name] = filepath.Join(folder, name)
	}
	for name, tc := range map[string]struct {
		args []string
		env  map[string]string
		want []string
	}{
		"a verb that is almost one":             {[]string{"verfy"}, nil, []string{"did you mean verify?"}},
		"help of no verb":                       {[]string{"help", "fly"}, nil, []string{`no verb "fly"`}},
		"help of no verb of a verb":             {[]string{"help", "scenario", "fly"}, nil, []string{`svclab scenario has no verb "fly"`}},
		"completion of no shell":                {[]string{"completion", "tcsh"}, nil, []string{`no verb "tcsh"`, "svclab completion --help"}},
		"a flag that the verb does not read":    {[]string{"diff", "--workers", "7", "a", "b"}, nil, []string{"unknown flag: --workers", "the lab's cluster", "svclab diff does not read it"}},
		"a number by the environment":           {[]string{"up"}, map[string]string{"SVCLAB_WORKERS": "two"}, []string{"SVCLAB_WORKERS=two is not a number"}},
		"a mode by the environment":             {[]string{"up"}, map[string]string{"SVCLAB_MODE": "userspace"}, []string{`"userspace"`, "nftables or iptables"}},
		"a flag goes before the environment":    {[]string{"up", "--mode=ipvs"}, map[string]string{"SVCLAB_MODE": "iptables"}, []string{`"ipvs"`}},
		"conformance: by the environment":       {[]string{"conformance", kubeconfig}, map[string]string{"SVCLAB_SAMPLE": "few"}, []string{"SVCLAB_SAMPLE", `"few"`}},
		"no checkout":                           {[]string{"up"}, map[string]string{"SVCLAB_ROOT": "/nowhere"}, []string{"SVCLAB_ROOT=/nowhere", "checkout"}},
		"verify: no scenario":                   {[]string{"verify", "teleport"}, nil, []string{`"teleport"`, "clusterip"}},
		"verify: a path":                        {[]string{"verify", "../x"}, nil, []string{`"../x"`}},
		"verify: twice":                         {[]string{"verify", "nodeport", "nodeport"}, nil, []string{"named twice"}},
		"verify: list and describe":             {[]string{"verify", "--list", "--describe"}, nil, []string{"use one of them"}},
		"upstream: no scenario":                 {[]string{"upstream", "teleport"}, nil, []string{`"teleport"`}},
		"upstream: ours and not ours":           {[]string{"upstream", "nodeport", "--ours=false"}, nil, []string{"one or the other"}},
		"mutants: none":                         {[]string{"mutants", "teleport"}, nil, []string{"svclab mutants --list"}},
		"scenario: no name":                     {[]string{"scenario", "new", "Bad_Name"}, nil, []string{"lower-case words"}},
		"scenario: a path":                      {[]string{"scenario", "new", "../x"}, nil, []string{"lower-case words"}},
		"scenario: one that is there":           {[]string{"scenario", "new", "nodeport"}, nil, []string{"exists already", "another name"}},
		"explain: no Service":                   {[]string{"explain", "a/b/c"}, nil, []string{"NAMESPACE/SERVICE"}},
		"explain: no Service's name":            {[]string{"explain", "Web"}, nil, []string{"NAMESPACE/SERVICE"}},
		"explain: no namespace":                 {[]string{"explain", "/web"}, nil, []string{"NAMESPACE/SERVICE"}},
		"explain: a flag of another cluster":    {[]string{"explain", "web", "--sample=3"}, nil, []string{"--sample needs --kubeconfig"}},
		"explain: a flag of the lab's cluster":  {[]string{"explain", "web", kubeconfig, "--mode=nftables"}, nil, []string{"--mode=nftables describes the lab's cluster"}},
		"explain: needs no checkout, no engine": {[]string{"explain", "web", "--kubeconfig=/nowhere"}, map[string]string{"SVCLAB_ROOT": "/nowhere"}, []string{"the kubeconfig /nowhere cannot be used"}},
		"explain: two images":                   {[]string{"explain", "web", kubeconfig, "--image=a", "--image-registry=b"}, nil, []string{"use one of them"}},
		"trace: what runs where, nothing":       {[]string{"trace", "node/a", "b/c", kubeconfig, "--dry-run"}, nil, []string{"--privileged-trace"}},
		"trace: sends and sends not":            {[]string{"trace", "node/a", "b/c", kubeconfig, "--privileged-trace", "--no-probe"}, nil, []string{"use one of them"}},
		"trace: a flag of another cluster":      {[]string{"trace", "node/a", "b/c", "--privileged-trace"}, nil, []string{"--privileged-trace needs --kubeconfig"}},
		"conformance: no cluster":               {[]string{"conformance"}, nil, []string{"--kubeconfig FILE"}},
		"conformance: two clusters":             {[]string{"conformance", kubeconfig, "--in-cluster"}, nil, []string{"use one of them"}},
		"conformance: in no pod":                {[]string{"conformance", "--in-cluster"}, nil, []string{"no pod of a cluster"}},
		"conformance: two images":               {[]string{"conformance", kubeconfig, "--image=a", "--image-registry=b"}, nil, []string{"use one of them"}},
		"diff: no file":                         {[]string{"diff", good, "/nowhere/b.json"}, nil, []string{"/nowhere/b.json", "result.json"}},
		"diff: a folder":                        {[]string{"diff", folder, good}, nil, []string{"is a directory", "result.json"}},
		"diff: an empty file":                   {[]string{"diff", good, file["empty"]}, nil, []string{"empty: ", "result.json"}},
		"diff: a broken file":                   {[]string{"diff", file["broken"], good}, nil, []string{"broken: ", "result.json"}},
		"diff: another file":                    {[]string{"diff", good, file["text"]}, nil, []string{"text: ", "result.json"}},
		"diff: a binary file":                   {[]string{"diff", good, file["binary"]}, nil, []string{"binary: ", "result.json"}},
		"diff: a file of another version":       {[]string{"diff", good, file["tomorrow"]}, nil, []string{"tomorrow: ", "the version of svclab that wrote the file"}},
		"verify: too many shards":               {[]string{"verify", "nodeport", "udp", "--shard=3/3"}, nil, []string{"only 2 scenarios"}},
		"e2e: too many shards":                  {[]string{"e2e", "--shard=99/99"}, nil, []string{"--shard=99/99", "scenarios to deal out"}},
		"merge: no shard":                       {[]string{"merge", good}, nil, []string{"is no result of a shard", "every shard of one run"}},
		"merge: a broken file":                  {[]string{"merge", file["broken"]}, nil, []string{"broken: ", "result.json"}},
		"merge: no file":                        {[]string{"merge", "/nowhere"}, nil, []string{"/nowhere", "result.json"}},
		"picture: no file":                      {[]string{"picture", "/nowhere", "a/b"}, nil, []string{"/nowhere", "result.json"}},
		"picture: a broken file":                {[]string{"picture", file["broken"], "a/b"}, nil, []string{"broken: "}},
		"picture: no step":                      {[]string{"picture", good, "a/b"}, nil, []string{`no scenario "a"`}},
		"learn: no exercise":                    {[]string{"learn", "start", "99"}, nil, []string{`no exercise "99"`, "svclab learn list"}},
		"learn: no hint":                        {[]string{"learn", "hint", "4"}, nil, []string{"4"}},
		"learn: no number of a hint":            {[]string{"learn", "hint", "x"}, nil, []string{"x"}},
		"learn: no answer":                      {[]string{"learn", "start", "07", "--answer", "moon"}, nil, []string{"matches no question", "number=refused"}},
		"learn: no answer when checked":         {[]string{"learn", "check", "--answer", "moon"}, nil, []string{"matches no question"}},
		"learn: a class without files":          {[]string{"learn", "class"}, nil, []string{"svclab learn class ann.json"}},
		"learn: a class without a file":         {[]string{"learn", "class", "/nowhere"}, nil, []string{"/nowhere", "svclab learn export"}},
		"learn: a class of a folder":            {[]string{"learn", "class", folder}, nil, []string{"is a directory", "svclab learn export"}},
		"learn: a class of a broken file":       {[]string{"learn", "class", file["broken"]}, nil, []string{"damaged", "leave the file out"}},
		"learn: a class of an empty file":       {[]string{"learn", "class", file["empty"]}, nil, []string{"damaged"}},
		"lint: no exercise":                     {[]string{"learn", "lint", "99"}, nil, []string{`no exercise "99"`}},
		"prove: no exercise":                    {[]string{"learn", "prove", "99"}, nil, []string{`no exercise "99"`}},
		"new: no name":                          {[]string{"learn", "new", "Bad_Name"}, nil, []string{"lower-case words"}},
		"new: a path":                           {[]string{"learn", "new", "../x"}, nil, []string{"lower-case words"}},
		"new: one that is there":                {[]string{"learn", "new", "wrong-target-port"}, nil, []string{"of that name"}},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range tc.env {
				t.Setenv(key, value)
			}
			refused(t, tc.args, tc.want...)
		})
	}
}
