// Package releases has the known bugs of kube-proxy's releases as data: which releases and modes have each, what shows it, and who
// reported it. It loads manifests/releases and judges what a release did; it runs nothing.
package releases

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// Folder is where the cases are, a folder for each; File is the file of each that says what it is. Report is the file of a bug that
// no release is known without: its text for those who write kube-proxy, with what reproduces it by hand.
const (
	Folder = "releases"
	File   = "release.yaml"
	Report = "upstream.md"
)

// Case is one bug. It is shown either by the rules that the release's proxier writes (Rules) or by traffic on a cluster whose nodes
// run that kube-proxy (Scenario).
type Case struct {
	// Name is the folder's name.
	Name string `json:"-"`
	// Title says in one sentence what is wrong.
	Title string `json:"title"`
	// Behaviour is the ID of the promise of Services that is broken, see scenario.Behaviours.
	Behaviour string `json:"behaviour"`
	// Upstream are the addresses of the issue, the change that fixed it, or the changelog.
	Upstream []string `json:"upstream"`
	// Modes are the proxy modes that have it.
	Modes []string `json:"modes"`
	// Affected are the releases that have it.
	Affected []Range `json:"affected"`
	// Scenarios are those of the suite that fail for it.
	Scenarios []string `json:"scenarios,omitempty"`
	Rules     *Rules   `json:"rules,omitempty"`

	Scenario *scenario.Scenario `json:"-"`
	// Objects are the manifests of Rules, by file.
	Objects map[string]Objects `json:"-"`
}

// Range are releases: From and later ones, of all minors up to that of Before, which is the first without the bug. An empty Before:
// no release is known without it.
type Range struct {
	From   string `json:"from"`
	Before string `json:"before,omitempty"`
}

// Rules shows a bug without a cluster: the proxiers of e2e/oracle/differential write their rules, and a packet follows them.
type Rules struct {
	// Facts are what differs in the world, which is that of differential's shapes.
	Facts RuleFacts `json:"facts,omitempty"`
	// History are the changes that the proxier sees, one sync after each.
	History []Change `json:"history"`
	// Rule is the oracle's for the cells that differ.
	Rule string `json:"rule,omitempty"`
	// Fails is why nft or iptables refuses all that the proxier writes, in the words of differential.
	Fails string `json:"fails,omitempty"`
}

// RuleFacts are settings of kube-proxy.
type RuleFacts struct {
	// Interfaces: pods are told by their interfaces (detectLocalMode InterfaceNamePrefix), not by the cluster's pod range.
	Interfaces bool `json:"interfaces,omitempty"`
	// NodePortAddresses are kube-proxy's.
	NodePortAddresses []string `json:"nodePortAddresses,omitempty"`
}

// Change is one of: Apply objects of a manifest, which replace those of the same name; Delete objects, as "service/web".
type Change struct {
	Apply  string   `json:"apply,omitempty"`
	Delete []string `json:"delete,omitempty"`
}

// Objects are those of a manifest.
type Objects struct {
	Services []corev1.Service
	Slices   []discoveryv1.EndpointSlice
}

// Default are releases that between them have every known bug, and one that has only those that are not corrected yet.
func Default() []string { return []string{"v1.31.0", "v1.33.0", "v1.37.2"} }

// Has says whether the case is known of a release in a mode.
func (c Case) Has(release, mode string) bool {
	return slices.Contains(c.Modes, mode) && slices.ContainsFunc(c.Affected, func(r Range) bool {
		return !world.ReleaseBefore(release, r.From) && (r.Before == "" || world.ReleaseBefore(release, r.Before))
	})
}

// open says whether no release is known without the bug.
func (c Case) open() bool {
	return slices.ContainsFunc(c.Affected, func(r Range) bool { return r.Before == "" })
}

// LoadRules loads the cases that need no cluster.
func LoadRules(fsys fs.FS) ([]Case, error) {
	cases, err := Load(fsys, nil)
	return slices.DeleteFunc(cases, func(c Case) bool { return c.Rules == nil }), err
}

// Load loads all cases, strictly; kinds are the kinds of steps there are. Without any, the steps of cases are left out.
func Load(fsys fs.FS, kinds []scenario.Kind) ([]Case, error) {
	names, err := scenario.Folders(fsys, Folder, "case")
	if err != nil {
		return nil, err
	}
	var (
		cases []Case
		errs  []error
	)
	for _, name := range names {
		c, err := load(fsys, name, kinds)
		if err != nil {
			errs = append(errs, scenario.Prefixed(path.Join(Folder, name)+": ", err))
			continue
		}
		cases = append(cases, c)
	}
	return cases, errors.Join(errs...)
}

func load(fsys fs.FS, name string, kinds []scenario.Kind) (Case, error) {
	c := Case{Name: name, Objects: map[string]Objects{}}
	dir := path.Join(Folder, name)
	if err := scenario.DecodeFile(fsys, path.Join(dir, File), nil, &c); err != nil {
		return c, err
	}
	if err := c.validate(); err != nil {
		return c, err
	}
	others := []string{File}
	if c.open() {
		if _, err := fs.Stat(fsys, path.Join(dir, Report)); err != nil {
			return c, fmt.Errorf("no release is without this bug: write what could be sent upstream: %w", err)
		}
		others = append(others, Report)
	}
	if c.Rules == nil && kinds == nil {
		return c, nil
	}
	if c.Rules == nil {
		found, err := scenario.LoadFrom(fsys, Folder, []string{name}, kinds, others...)
		if err != nil {
			return c, err
		}
		c.Scenario = &found[0]
		return c, nil
	}
	used := map[string]bool{}
	for _, other := range others {
		used[other] = true
	}
	for _, change := range c.Rules.History {
		if change.Apply == "" || used[change.Apply] {
			continue
		}
		used[change.Apply] = true
		data, err := fs.ReadFile(fsys, path.Join(dir, change.Apply))
		if err != nil {
			return c, err
		}
		if c.Objects[change.Apply], err = decode(data); err != nil {
			return c, fmt.Errorf("%s: %w", change.Apply, err)
		}
	}
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return c, err
	}
	var errs []error
	for _, e := range entries {
		if !used[e.Name()] {
			errs = append(errs, fmt.Errorf("%s is a stray file: no change applies it", e.Name()))
		}
	}
	return c, errors.Join(errs...)
}

func (c Case) validate() error {
	var errs []error
	say := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	say(c.Title == "", "title is missing")
	say(!scenario.KnownBehaviour(c.Behaviour), "behaviour %q is not one that svclab knows", c.Behaviour)
	say(len(c.Upstream) == 0, "upstream is missing: the issue, the change that fixed it, or the changelog")
	for _, address := range c.Upstream {
		say(!strings.HasPrefix(address, "https://"), "upstream %q is no address", address)
	}
	say(len(c.Modes) == 0, "modes are missing")
	for _, mode := range c.Modes {
		say(mode != world.ModeNFTables && mode != world.ModeIPTables, "mode %q is not known: nftables or iptables", mode)
	}
	say(len(c.Affected) == 0, "affected releases are missing")
	for _, r := range c.Affected {
		_, from := world.ParseRelease(r.From)
		_, before := world.ParseRelease(r.Before)
		say(from != nil || r.Before != "" && before != nil, "affected: %q to %q are no releases", r.From, r.Before)
		say(from == nil && r.Before != "" && !world.ReleaseBefore(r.From, r.Before), "affected: %s is not before %s", r.From, r.Before)
	}
	if c.Rules != nil {
		say((c.Rules.Rule == "") == (c.Rules.Fails == ""), "rules: one of rule, the oracle's for the cells that differ, and fails")
		say(len(c.Rules.History) == 0, "rules: history is missing")
		for _, change := range c.Rules.History {
			say((change.Apply == "") == (len(change.Delete) == 0), "rules: a change either applies or deletes")
		}
	}
	return errors.Join(errs...)
}

// decode reads a manifest of Services and EndpointSlices, strictly. Unlike other manifests of svclab's these have addresses and
// status, which no API server gives them.
func decode(data []byte) (Objects, error) {
	var all Objects
	for text := range strings.SplitSeq(string(data), "\n---\n") {
		var (
			document = []byte(text)
			kind     struct{ Kind string }
			err      = yaml.Unmarshal(document, &kind)
		)
		switch {
		case err != nil:
		case kind.Kind == "Service":
			all.Services = append(all.Services, corev1.Service{})
			err = yaml.UnmarshalStrict(document, &all.Services[len(all.Services)-1])
		case kind.Kind == "EndpointSlice":
			all.Slices = append(all.Slices, discoveryv1.EndpointSlice{})
			err = yaml.UnmarshalStrict(document, &all.Slices[len(all.Slices)-1])
		default:
			err = fmt.Errorf("kind %q: the proxier reads Services and EndpointSlices only", kind.Kind)
		}
		if err != nil {
			return all, err
		}
	}
	return all, nil
}
