package explain

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

type discoverySlice = discoveryv1.EndpointSlice

// kubectl returns a kubectl command in the Service's namespace.
func (v *view) kubectl(format string, args ...any) string {
	namespace, _, _ := strings.Cut(v.Service, "/")
	return fmt.Sprintf("kubectl -n %s ", namespace) + fmt.Sprintf(format, args...)
}

// patch returns a command that changes fields of the Service's spec.
func (v *view) patch(spec map[string]any) string {
	return v.kubectl("patch service %s --type=merge -p %s", v.name(), quoted(map[string]any{"spec": spec}))
}

// patchPort returns a command that changes a field of one of the Service's ports.
func (v *view) patchPort(index int, field string, value any) string {
	return v.kubectl("patch service %s --type=json -p %s", v.name(),
		quoted([]any{map[string]any{"op": "replace", "path": fmt.Sprintf("/spec/ports/%d/%s", index, field), "value": value}}))
}

// addPort returns a command that adds a port to the Service.
func (v *view) addPort(name string, port int32, protocol string) string {
	return v.kubectl("patch service %s --type=json -p %s", v.name(), quoted([]any{map[string]any{"op": "add", "path": "/spec/ports/-",
		"value": map[string]any{"name": name, "port": port, "protocol": protocol}}}))
}

// describe returns a command that shows an object and its events.
func (v *view) describe(kind, name string) string { return v.kubectl("describe %s %s", kind, name) }

func (v *view) name() string {
	_, name, _ := strings.Cut(v.Service, "/")
	return name
}

// quoted returns a value as JSON, quoted for a shell.
func quoted(value any) string {
	text, _ := json.Marshal(value) // never fails: value holds only maps, lists, strings and numbers
	return shellescape.Quote(string(text))
}

// labelText formats labels for kubectl's -l.
func labelText(labels map[string]string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, key+"="+labels[key])
	}
	return strings.Join(parts, ",")
}

// listed joins names, at most three of them.
func listed(names []string) string {
	if len(names) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
	}
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

func podNames(pods []*corev1.Pod) []string {
	names := make([]string, len(pods))
	for i, pod := range pods {
		names[i] = pod.Name
	}
	slices.Sort(names)
	return names
}

// counted returns "pod a" or "pods a and b".
func counted(noun string, names []string) string {
	if len(names) == 1 {
		return noun + " " + names[0]
	}
	return noun + "s " + listed(names)
}

// verb returns the singular or the plural form.
func verb(n int, one, several string) string {
	if n == 1 {
		return one
	}
	return several
}
