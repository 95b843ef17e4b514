package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/world"
)

// everywhere returns the "namespace/name" of all Services of the cluster.
func (v *view) everywhere() []string {
	var names []string
	for _, list := range [][]corev1.Service{v.World.Services, v.World.Elsewhere} {
		for i := range list {
			names = append(names, world.Name(&list[i]))
		}
	}
	slices.Sort(names)
	return names
}

// namesakes returns the Services of the same name in other namespaces.
func (v *view) namesakes() []string {
	return slices.DeleteFunc(v.everywhere(), func(full string) bool {
		_, name, _ := strings.Cut(full, "/")
		return name != v.name() || full == v.Service
	})
}

func otherNamespace(v *view) []Cause {
	found := v.namesakes()
	if len(found) == 0 {
		return nil
	}
	namespace, name, _ := strings.Cut(v.Service, "/")
	there, _, _ := strings.Cut(found[0], "/")
	full := fmt.Sprintf("%s.%s.svc.%s", name, there, v.World.Facts.ClusterDomain())
	return []Cause{{
		Sentence: fmt.Sprintf("there is no Service %s in the namespace %s, but there is %s: from other namespaces its name is %s.%s, since the short name %s is looked up in the client's own namespace only",
			name, namespace, listed(found), name, there, name),
		Field:   "the name that the client looks up: " + full,
		Command: fmt.Sprintf("kubectl -n %s get service %s", there, name),
	}}
}

func noSuchService(v *view) []Cause {
	if len(v.namesakes()) > 0 {
		return nil
	}
	namespace, name, _ := strings.Cut(v.Service, "/")
	all := v.everywhere()
	here := slices.DeleteFunc(slices.Clone(all), func(full string) bool { return !strings.HasPrefix(full, namespace+"/") })
	candidates := slices.DeleteFunc(slices.Clone(all), func(full string) bool {
		_, other, _ := strings.Cut(full, "/")
		return !near(name, other)
	})
	slices.SortStableFunc(candidates, func(a, b string) int {
		_, nameA, _ := strings.Cut(a, "/")
		_, nameB, _ := strings.Cut(b, "/")
		return cmp.Or(cmp.Compare(distance(name, nameA), distance(name, nameB)), cmp.Compare(boolRank(slices.Contains(here, a)), boolRank(slices.Contains(here, b))))
	})
	sentence, command := fmt.Sprintf("there is no Service %s in the namespace %s, and none with a similar name in any other", name, namespace), "kubectl get services --all-namespaces"
	if len(candidates) > 0 {
		sentence = fmt.Sprintf("there is no Service %s in the namespace %s; did you mean %s?", name, namespace, listed(candidates))
		there, other, _ := strings.Cut(candidates[0], "/")
		command = fmt.Sprintf("kubectl -n %s get service %s", there, other)
	}
	return []Cause{{Sentence: sentence, Field: "metadata.name, or the name that the client looks up", Command: command}}
}

// boolRank sorts true first.
func boolRank(b bool) int {
	if b {
		return 0
	}
	return 1
}
