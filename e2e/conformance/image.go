package conformance

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/scenario"
)

// appImage is the sample app's image in the scenarios' manifests, without the tag.
const appImage = "registry.k8s.io/e2e-test-images/agnhost"

// Image is the image of the sample app and the clients.
type Image struct {
	// Name is the complete reference, Source why it was chosen.
	Name, Source string
}

// manifestImage returns the image in the manifests, which must be the same in all scenarios.
func manifestImage(scenarios []scenario.Scenario) (string, error) {
	var found []string
	for _, s := range scenarios {
		for _, objects := range s.Objects {
			for _, object := range objects {
				walk(object.Object, func(text string) string {
					if isApp(text) && !slices.Contains(found, text) {
						found = append(found, text)
					}
					return text
				})
			}
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("the scenarios name %d images of %s, want one: %v", len(found), appImage, found)
	}
	return found[0], nil
}

func isApp(text string) bool { return strings.HasPrefix(text, appImage+":") }

// chooseImage returns the named image; else the manifests' image from the named registry; else the manifests' image. Instead
// of the latter it returns another agnhost if all chosen nodes report that they have it and some do not have the manifests'.
func chooseImage(manifest, named, registry string, nodes []corev1.Node) Image {
	switch {
	case named != "":
		return Image{Name: named, Source: "named by --image"}
	case registry != "":
		_, rest, _ := strings.Cut(manifest, "/")
		return Image{Name: strings.TrimSuffix(registry, "/") + "/" + rest, Source: "from the registry named by --image-registry"}
	}
	have := map[string]int{} // image name: how many nodes have it
	for i := range nodes {
		for _, image := range nodes[i].Status.Images {
			for _, name := range image.Names {
				if repository, _, tagged := cutTag(name); tagged && path.Base(repository) == "agnhost" {
					have[name]++
				}
			}
		}
	}
	if have[manifest] == len(nodes) {
		return Image{Name: manifest, Source: "on every chosen node already"}
	}
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(have))) {
		if have[name] == len(nodes) {
			return Image{Name: name, Source: "an agnhost that every chosen node has already"}
		}
	}
	return Image{Name: manifest, Source: "to be pulled by the nodes; --image-registry and --image name another"}
}

// cutTag cuts "host:5000/name:tag" before the tag. A reference by digest has no tag.
func cutTag(name string) (repository, tag string, tagged bool) {
	if strings.Contains(name, "@") {
		return name, "", false
	}
	i := strings.LastIndex(name, ":")
	if i <= strings.LastIndex(name, "/") {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}

// adaptObjects returns a copy of the scenario whose pods run the image, have the extras, tolerate all taints, and run only on nodes
// of the sample: svclab does not know the facts of other nodes, which may be simulated.
func adaptObjects(s scenario.Scenario, image string, extras cluster.Extras, nodes []string) scenario.Scenario {
	files := map[string][]*unstructured.Unstructured{}
	for file, objects := range s.Objects {
		if slices.ContainsFunc(objects, func(o *unstructured.Unstructured) bool { return cluster.PodOf(o) != nil }) {
			files[file] = extras.Secret()
		}
		for _, object := range objects {
			object = object.DeepCopy()
			walk(object.Object, func(text string) string {
				if isApp(text) {
					return image
				}
				return text
			})
			restrict(object, nodes)
			extras.Add(object)
			files[file] = append(files[file], object)
		}
	}
	s.Objects = files
	return s
}

// restrict makes the pods of an object run only on the nodes and tolerate their taints.
func restrict(object *unstructured.Unstructured, nodes []string) {
	spec, isMap := cluster.PodOf(object)["spec"].(map[string]any)
	if !isMap {
		return
	}
	spec["tolerations"] = []any{map[string]any{"operator": "Exists"}}
	values := make([]any, len(nodes))
	for i, name := range nodes {
		values[i] = name
	}
	required := child(child(child(spec, "affinity"), "nodeAffinity"), "requiredDuringSchedulingIgnoredDuringExecution")
	terms, _ := required["nodeSelectorTerms"].([]any)
	if len(terms) == 0 {
		terms = []any{map[string]any{}}
	}
	for _, term := range terms { // the terms are alternatives, so each is narrowed
		if term, isMap := term.(map[string]any); isMap {
			expressions, _ := term["matchExpressions"].([]any)
			term["matchExpressions"] = append(expressions, map[string]any{"key": corev1.LabelHostname, "operator": "In", "values": values})
		}
	}
	required["nodeSelectorTerms"] = terms
}

// child is the map at key, made if need be.
func child(of map[string]any, key string) map[string]any {
	if there, is := of[key].(map[string]any); is {
		return there
	}
	made := map[string]any{}
	of[key] = made
	return made
}

// walk replaces every text in value by what change makes of it.
func walk(value any, change func(string) string) any {
	switch v := value.(type) {
	case string:
		return change(v)
	case map[string]any:
		for key, inner := range v {
			v[key] = walk(inner, change)
		}
	case []any:
		for i, inner := range v {
			v[i] = walk(inner, change)
		}
	}
	return value
}
