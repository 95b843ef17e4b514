package scenario

import (
	"fmt"
	"slices"
	"testing"
	"testing/fstest"
	"time"
)

func TestShardIsRead(t *testing.T) {
	for text, want := range map[string]Shard{"1/1": {1, 1}, "2/4": {2, 4}, "10/12": {10, 12}} {
		var got Shard
		if err := got.Set(text); err != nil || got != want || got.String() != text {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "2", "0/4", "5/4", "0/0", "-1/4", "2/4 ", "2/4/8", "a/b", "2/1000"} {
		if got := (Shard{}); got.Set(text) == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
	if none := (Shard{}); none.String() != "" {
		t.Errorf("no shard is %q", none.String())
	}
}

// Each scenario is in one shard, the shards take about as long, and they do not depend on the order of what is known.
func TestShards(t *testing.T) {
	var all []Scenario
	took := map[string]time.Duration{}
	for i := range 37 {
		s := Scenario{Name: fmt.Sprintf("s%02d", i), Serial: i == 7}
		all = append(all, s)
		if i%5 != 0 {
			took[s.Name] = time.Duration(2+i*i%31) * time.Second
		}
	}
	for _, of := range []int{1, 2, 4, 7, 37} {
		seen, costs := map[string]int{}, []time.Duration{}
		for index := 1; index <= of; index++ {
			part, err := Shard{index, of}.Take(all, took)
			if err != nil || len(part) == 0 {
				t.Fatalf("%d/%d: %d scenarios, %v", index, of, len(part), err)
			}
			cost := time.Duration(0)
			for _, s := range part {
				seen[s.Name]++
				cost += max(took[s.Name], 1) // any that is not known is short here
				if s.Serial {
					cost += 2 * took[s.Name]
				}
			}
			costs = append(costs, cost)
			again, err := Shard{index, of}.Take(slices.Clone(all), took)
			if err != nil || !slices.EqualFunc(part, again, func(a, b Scenario) bool { return a.Name == b.Name }) {
				t.Errorf("%d/%d: another time it is another part", index, of)
			}
			if !slices.IsSortedFunc(part, func(a, b Scenario) int { return int(a.Name[1]-b.Name[1])*10 + int(a.Name[2]) - int(b.Name[2]) }) {
				t.Errorf("%d/%d: not in the order of the scenarios", index, of)
			}
		}
		for _, s := range all {
			if seen[s.Name] != 1 {
				t.Errorf("of %d shards, %d have %s", of, seen[s.Name], s.Name)
			}
		}
		if of <= 4 && slices.Max(costs)-slices.Min(costs) > 40*time.Second {
			t.Errorf("%d shards take %v", of, costs)
		}
	}
	if whole, err := (Shard{}).Take(all, took); err != nil || len(whole) != len(all) {
		t.Errorf("no shard: %d scenarios, %v", len(whole), err)
	}
	if part, err := (Shard{1, 38}).Take(all, took); err == nil {
		t.Errorf("38 shards of 37 scenarios: %d", len(part))
	}
}

func TestDurations(t *testing.T) {
	got, err := Durations(fstest.MapFS{DurationsFile: {Data: []byte("a: 12\nb: 1.5\n")}})
	if err != nil || got["a"] != 12*time.Second || got["b"] != 1500*time.Millisecond {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"a: 1\na: 2", "a: soon", "- a"} {
		if got, err := Durations(fstest.MapFS{DurationsFile: {Data: []byte(text)}}); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestOrder(t *testing.T) {
	all := []Scenario{
		{Name: "serial", Serial: true},
		{Name: "short"},
		{Name: "sharer", Shares: []string{"pool"}},
		{Name: "port again", Claims: []string{"port"}},
		{Name: "port", Claims: []string{"port"}},
		{Name: "long"},
		{Name: "long sharer", Shares: []string{"pool"}},
		{Name: "pool", Claims: []string{"pool"}},
		{Name: "unknown"},
	}
	took := map[string]time.Duration{"serial": time.Hour, "short": time.Second, "sharer": time.Second, "port again": 19 * time.Second, "port": 20 * time.Second,
		"long": time.Minute, "long sharer": time.Minute, "pool": 2 * time.Second}
	var got []string
	for _, i := range Order(all, took) {
		got = append(got, all[i].Name)
	}
	want := []string{"pool", "long", "port", "unknown", "short", "long sharer", "port again", "sharer", "serial"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
