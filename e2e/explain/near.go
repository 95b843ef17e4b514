package explain

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// distance is the Damerau–Levenshtein distance (optimal string alignment): how many bytes must be inserted, removed, replaced
// or swapped with their neighbour to turn a into b.
func distance(a, b string) int {
	var (
		rows     = make([][]int, len(a)+1)
		from, to = []byte(a), []byte(b)
	)
	for i := range rows {
		rows[i] = make([]int, len(to)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(from); i++ {
		for j := 1; j <= len(to); j++ {
			cost := 1
			if from[i-1] == to[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && from[i-1] == to[j-2] && from[i-2] == to[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(from)][len(to)]
}

// near reports whether a could be a typo of b: few letters differ, only their case differs, or one contains the other, as
// web-app contains web. Equal texts are near.
func near(a, b string) bool {
	if a == "" || b == "" {
		return a == b
	}
	low, high := strings.ToLower(a), strings.ToLower(b)
	if len(low) > len(high) {
		low, high = high, low
	}
	return len(low) >= 3 && strings.Contains(high, low) || distance(low, high) <= max(1, len(high)/4)
}

// nearest returns the candidate nearest to a text, "" if none is near.
func nearest(text string, candidates []string) string {
	fit := slices.DeleteFunc(slices.Clone(candidates), func(c string) bool { return !near(text, c) })
	if len(fit) == 0 {
		return ""
	}
	return slices.MinFunc(fit, func(a, b string) int {
		return cmp.Or(cmp.Compare(distance(text, a), distance(text, b)), cmp.Compare(a, b))
	})
}

// gap is one label that a selector requires and a pod does not have.
type gap struct {
	key, value string
	// hasKey and hasValue are the pod's label that was probably meant; an empty key: none.
	hasKey, hasValue string
}

// gaps returns the differences that keep a selector from matching labels. isNear is false if a typo cannot explain them.
func gaps(selector, labels map[string]string) (list []gap, isNear bool) {
	exact := 0
	isNear = true
	for _, key := range slices.Sorted(maps.Keys(selector)) {
		value := selector[key]
		has, there := labels[key]
		if there && has == value {
			exact++
			continue
		}
		g := gap{key: key, value: value}
		switch {
		case there:
			g.hasKey, g.hasValue = key, has
			isNear = isNear && near(value, has)
		default:
			for _, other := range slices.Sorted(maps.Keys(labels)) {
				if labels[other] == value && selector[other] == "" && (g.hasKey == "" || distance(key, other) < distance(key, g.hasKey)) {
					g.hasKey, g.hasValue = other, value
				}
			}
			if g.hasKey == "" {
				if other := nearest(key, slices.Sorted(maps.Keys(labels))); other != "" && near(value, labels[other]) {
					g.hasKey, g.hasValue = other, labels[other]
				}
			}
			isNear = isNear && g.hasKey != ""
		}
		list = append(list, g)
	}
	// if all labels but one match, the last one is taken for a typo, whatever its value is
	return list, isNear || exact > 0 && len(list) == 1
}

// candidate is a pod that a selector was probably meant for.
type candidate struct {
	pod  *corev1.Pod
	gaps []gap
}

func (c candidate) cost() int {
	cost := 0
	for _, g := range c.gaps {
		cost += 100 + distance(g.key+"="+g.value, g.hasKey+"="+g.hasValue)
	}
	return cost
}

// nearestPods returns the pods whose labels are nearest to a selector. All of them have the same gaps.
func nearestPods(selector map[string]string, pods []*corev1.Pod) []candidate {
	var all []candidate
	for _, pod := range pods {
		if list, isNear := gaps(selector, pod.Labels); isNear && len(list) > 0 {
			all = append(all, candidate{pod, list})
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.cost(), b.cost()), cmp.Compare(a.pod.Name, b.pod.Name))
	})
	return slices.DeleteFunc(all, func(c candidate) bool { return !slices.Equal(c.gaps, all[0].gaps) })
}
