package world

import "fmt"

// Versions names the objects that predictions rest on, with their versions, in a few words. Two snapshots in which no
// Service, EndpointSlice or readiness of a pod changed have the same.
func (w World) Versions() string {
	text := ""
	for i := range w.Services {
		text += fmt.Sprintf("service %s@%s ", w.Services[i].Name, w.Services[i].ResourceVersion)
	}
	for i := range w.Slices {
		text += fmt.Sprintf("slice %s@%s ", w.Slices[i].Name, w.Slices[i].ResourceVersion)
	}
	for i := range w.Pods {
		text += fmt.Sprintf("pod %s ready=%t ", w.Pods[i].Name, Ready(&w.Pods[i]))
	}
	return text
}
