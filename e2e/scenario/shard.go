package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"time"

	"sigs.k8s.io/yaml"
)

// Shard is one of several parts into which scenarios are dealt out, so that machines run them at the same time. The zero Shard
// is all of them. It is the value of a flag.
type Shard struct {
	// Index is from 1 to Of.
	Index, Of int
}

var shardText = regexp.MustCompile(`^([0-9]{1,3})/([0-9]{1,3})$`)

// Set reads "2/4".
func (s *Shard) Set(text string) error {
	match := shardText.FindStringSubmatch(text)
	if match == nil {
		return errors.New("write it as 2/4, the second of four parts")
	}
	index, _ := strconv.Atoi(match[1]) // the expression has digits only
	of, _ := strconv.Atoi(match[2])
	if index < 1 || index > of {
		return fmt.Errorf("the parts of %d are 1/%d to %d/%d", of, of, of, of)
	}
	*s = Shard{index, of}
	return nil
}

func (s *Shard) String() string {
	if s == nil || s.Of == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Index, s.Of)
}

// Type is how help names the value.
func (*Shard) Type() string { return "part" }

const (
	// usual is how long a scenario takes that has no known duration.
	usual = 15 * time.Second
	// beside is how many scenarios run next to each other. A serial one keeps the others waiting.
	beside = 3
)

// Take returns the scenarios of the shard, in their order. Each scenario is in one of the shards. The longest is dealt out
// first, to the shard with the least to do, so all take about as long. The same arguments give the same shards.
func (s Shard) Take(all []Scenario, took map[string]time.Duration) ([]Scenario, error) {
	if s.Of == 0 {
		return all, nil
	}
	if s.Of > len(all) {
		return nil, fmt.Errorf("--shard=%s: there are only %d scenarios to deal out", &s, len(all))
	}
	cost := func(sc Scenario) time.Duration {
		t := cmp.Or(took[sc.Name], usual)
		if sc.Serial {
			t *= beside
		}
		return t
	}
	order := slices.SortedFunc(slices.Values(all), func(a, b Scenario) int {
		return cmp.Or(cmp.Compare(cost(b), cost(a)), cmp.Compare(a.Name, b.Name))
	})
	load, shard := make([]time.Duration, s.Of), map[string]int{}
	for _, sc := range order {
		least := slices.Index(load, slices.Min(load))
		load[least] += cost(sc)
		shard[sc.Name] = least + 1
	}
	return slices.DeleteFunc(slices.Clone(all), func(sc Scenario) bool { return shard[sc.Name] != s.Index }), nil
}

// Order returns the indexes of the scenarios in the order in which to begin them side by side: those that take longest first, so
// that the last to end is a short one. Before them come those that claim what others share, which would wait for all of these,
// and after them those that share it, or claim what an earlier one claims, and may have to wait. Serial ones are last.
func Order(all []Scenario, took map[string]time.Duration) []int {
	shared, claimed, rank := map[string]bool{}, map[string]bool{}, make([]int, len(all))
	for _, sc := range all {
		for _, name := range sc.Shares {
			shared[name] = true
		}
	}
	longest := func(a, b int) int {
		return cmp.Or(cmp.Compare(cmp.Or(took[all[b].Name], usual), cmp.Or(took[all[a].Name], usual)), cmp.Compare(a, b))
	}
	order := make([]int, len(all))
	for i := range all {
		order[i] = i
	}
	slices.SortFunc(order, longest)
	for _, i := range order {
		sc := all[i]
		switch {
		case sc.Serial:
			rank[i] = 3
		case slices.ContainsFunc(sc.Claims, func(name string) bool { return shared[name] }):
			rank[i] = 0
		case len(sc.Shares) > 0, slices.ContainsFunc(sc.Claims, func(name string) bool { return claimed[name] }):
			rank[i] = 2
		default:
			rank[i] = 1
		}
		for _, name := range sc.Claims {
			claimed[name] = true
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rank[a], rank[b]) })
	return order
}

// DurationsFile has how many seconds each scenario took in a run, in the folder manifests/.
const DurationsFile = "durations.yaml"

// Durations reads DurationsFile.
func Durations(files fs.FS) (map[string]time.Duration, error) {
	text, err := fs.ReadFile(files, DurationsFile)
	if err != nil {
		return nil, fmt.Errorf("read how long scenarios take: %w", err)
	}
	var seconds map[string]float64
	if err := yaml.UnmarshalStrict(text, &seconds); err != nil {
		return nil, fmt.Errorf("read %s: %w", DurationsFile, err)
	}
	took := map[string]time.Duration{}
	for name, s := range seconds {
		took[name] = time.Duration(s * float64(time.Second))
	}
	return took, nil
}
