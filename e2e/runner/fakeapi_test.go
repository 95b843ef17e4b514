package runner

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
)

// fakeAPI is an API server in memory: enough of one for client-go's typed, dynamic and discovery clients and
// informers. It knows nothing of what objects mean; react stands for the controllers.
type fakeAPI struct {
	server *httptest.Server
	// admit refuses an object with a message, as validation does. Set before use.
	admit func(resource string, object map[string]any) string
	// react is called, with the lock held, after each change. It changes more by put and drop.
	react func(api *fakeAPI, resource string, object map[string]any, deleted bool)

	mu      sync.Mutex
	version int
	objects map[string]map[string]any // by "resource/namespace/name"
	log     []fakeEvent
	changed *sync.Cond
	closed  bool
}

type fakeEvent struct {
	version          int
	kind             string
	resource, object string
	content          map[string]any
}

// fakeResources is what discovery tells, by group and version.
func fakeResources() map[string][][3]string { // name, kind, namespaced
	return map[string][][3]string{
		"v1": {{"namespaces", "Namespace", ""}, {"nodes", "Node", ""}, {"pods", "Pod", "y"}, {"services", "Service", "y"},
			{"events", "Event", "y"}, {"configmaps", "ConfigMap", "y"}},
		"apps/v1":              {{"deployments", "Deployment", "y"}, {"statefulsets", "StatefulSet", "y"}, {"daemonsets", "DaemonSet", "y"}},
		"discovery.k8s.io/v1":  {{"endpointslices", "EndpointSlice", "y"}},
		"networking.k8s.io/v1": {{"servicecidrs", "ServiceCIDR", ""}},
		"metallb.io/v1beta1":   {{"ipaddresspools", "IPAddressPool", "y"}, {"servicel2statuses", "ServiceL2Status", "y"}},
	}
}

func newFakeAPI(t *testing.T) *fakeAPI {
	api := &fakeAPI{objects: map[string]map[string]any{}, version: 1,
		admit: func(string, map[string]any) string { return "" }, react: func(*fakeAPI, string, map[string]any, bool) {}}
	api.changed = sync.NewCond(&api.mu)
	api.server = httptest.NewServer(api)
	t.Cleanup(func() {
		api.mu.Lock()
		api.closed = true
		api.changed.Broadcast()
		api.mu.Unlock()
		api.server.Close()
	})
	return api
}

func (f *fakeAPI) config() *rest.Config {
	return &rest.Config{Host: f.server.URL, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
}

// put stores an object and tells watchers; the lock is held.
func (f *fakeAPI) put(resource string, object map[string]any) {
	u := unstructured.Unstructured{Object: object}
	key := resource + "/" + u.GetNamespace() + "/" + u.GetName()
	f.version++
	old, existed := f.objects[key]
	object = jsonCopy(object)
	metadata := object["metadata"].(map[string]any)
	metadata["resourceVersion"] = strconv.Itoa(f.version)
	kind := "ADDED"
	if existed {
		kind = "MODIFIED"
		metadata["uid"] = old["metadata"].(map[string]any)["uid"]
	} else {
		metadata["uid"] = fmt.Sprintf("uid-%d", f.version)
	}
	f.objects[key] = object
	f.log = append(f.log, fakeEvent{f.version, kind, resource, key, object})
	f.changed.Broadcast()
	f.react(f, resource, object, false)
}

// drop removes an object; the lock is held.
func (f *fakeAPI) drop(key string) {
	object, found := f.objects[key]
	if !found {
		return
	}
	delete(f.objects, key)
	f.version++
	resource, _, _ := strings.Cut(key, "/")
	f.log = append(f.log, fakeEvent{f.version, "DELETED", resource, key, object})
	f.changed.Broadcast()
	f.react(f, resource, object, true)
}

// list returns the objects of a resource in a namespace, or in all; the lock is held.
func (f *fakeAPI) list(resource, namespace string) []map[string]any {
	var keys []string
	for key := range f.objects {
		if strings.HasPrefix(key, resource+"/"+namespace) && (namespace == "" || strings.HasPrefix(key, resource+"/"+namespace+"/")) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	list := make([]map[string]any, len(keys))
	for i, key := range keys {
		list[i] = f.objects[key]
	}
	return list
}

// names are the names of a resource's objects in all namespaces.
func (f *fakeAPI) names(resource string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for _, o := range f.list(resource, "") {
		names = append(names, (&unstructured.Unstructured{Object: o}).GetName())
	}
	return names
}

func jsonCopy(object map[string]any) map[string]any {
	data, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		panic(err)
	}
	return out
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	groupVersion, rest := "", []string(nil)
	switch {
	case len(parts) == 1 && parts[0] == "api":
		reply(w, 200, map[string]any{"kind": "APIVersions", "versions": []string{"v1"}})
		return
	case len(parts) == 1 && parts[0] == "apis":
		reply(w, 200, map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": fakeGroups()})
		return
	case parts[0] == "api":
		groupVersion, rest = parts[1], parts[2:]
	case len(parts) >= 3:
		groupVersion, rest = parts[1]+"/"+parts[2], parts[3:]
	}
	resources, known := fakeResources()[groupVersion]
	if !known {
		status(w, 404, "NotFound", r.URL.Path+" is not there")
		return
	}
	if len(rest) == 0 {
		reply(w, 200, discoveryOf(groupVersion, resources))
		return
	}
	namespace := ""
	if rest[0] == "namespaces" && len(rest) > 2 {
		namespace, rest = rest[1], rest[2:]
	}
	for _, resource := range resources {
		if resource[0] == rest[0] {
			name := ""
			if len(rest) > 1 {
				name = rest[1]
			}
			f.serve(w, r, groupVersion, resource, namespace, name)
			return
		}
	}
	status(w, 404, "NotFound", r.URL.Path+" is not there")
}

func fakeGroups() []map[string]any {
	var groups []map[string]any
	for groupVersion := range fakeResources() {
		if group, version, ok := strings.Cut(groupVersion, "/"); ok {
			v := map[string]any{"groupVersion": groupVersion, "version": version}
			groups = append(groups, map[string]any{"name": group, "versions": []any{v}, "preferredVersion": v})
		}
	}
	return groups
}

func discoveryOf(groupVersion string, resources [][3]string) map[string]any {
	var list []map[string]any
	for _, r := range resources {
		list = append(list, map[string]any{"name": r[0], "singularName": strings.ToLower(r[1]), "kind": r[1],
			"namespaced": r[2] != "", "verbs": []string{"get", "list", "watch", "create", "patch", "delete"}})
	}
	return map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": groupVersion, "resources": list}
}

func (f *fakeAPI) serve(w http.ResponseWriter, r *http.Request, groupVersion string, resource [3]string, namespace, name string) {
	query := r.URL.Query()
	if query.Get("watch") == "true" || query.Get("watch") == "1" {
		f.watch(w, r, resource[0], namespace)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	key := resource[0] + "/" + namespace + "/" + name
	switch r.Method {
	case http.MethodGet:
		if name == "" {
			items := []any{}
			for _, o := range f.list(resource[0], namespace) {
				if selected(o, query) {
					items = append(items, o)
				}
			}
			reply(w, 200, map[string]any{"kind": resource[1] + "List", "apiVersion": groupVersion, "items": items,
				"metadata": map[string]any{"resourceVersion": strconv.Itoa(f.version)}})
			return
		}
		if f.objects[key] == nil {
			status(w, 404, "NotFound", fmt.Sprintf("%s %q not found", resource[0], name))
			return
		}
		reply(w, 200, f.objects[key])
	case http.MethodDelete:
		if f.objects[key] == nil {
			status(w, 404, "NotFound", fmt.Sprintf("%s %q not found", resource[0], name))
			return
		}
		if phase, _, _ := unstructured.NestedString(f.objects[key], "status", "phase"); phase == "Terminating" {
			status(w, 409, "Conflict", "the system is ensuring that all content is removed from this namespace")
			return
		}
		// a pod that is ending ends in its time, however often it is deleted; only force takes it out
		_, ending, _ := unstructured.NestedFieldNoCopy(f.objects[key], "metadata", "deletionGracePeriodSeconds")
		if !ending || forced(r) {
			f.drop(key)
		}
		reply(w, 200, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Success"})
	case http.MethodPost, http.MethodPatch:
		f.write(w, r, groupVersion, resource, namespace, name)
	default:
		status(w, 405, "MethodNotAllowed", r.Method)
	}
}

// forced reports whether a deletion gives no time at all.
func forced(r *http.Request) bool {
	var options struct{ GracePeriodSeconds *int64 }
	err := json.NewDecoder(r.Body).Decode(&options)
	return err == nil && options.GracePeriodSeconds != nil && *options.GracePeriodSeconds == 0
}

// write creates or patches an object. An apply patch is merged like any other.
func (f *fakeAPI) write(w http.ResponseWriter, r *http.Request, groupVersion string, resource [3]string, namespace, name string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		status(w, 400, "BadRequest", err.Error())
		return
	}
	key := resource[0] + "/" + namespace + "/" + name
	current := f.objects[key]
	if current == nil {
		current = map[string]any{}
		if r.Method == http.MethodPatch && r.Header.Get("Content-Type") != "application/apply-patch+yaml" {
			status(w, 404, "NotFound", fmt.Sprintf("%s %q not found", resource[0], name))
			return
		}
	}
	old, err := json.Marshal(current)
	if err != nil {
		panic(err)
	}
	var merged []byte
	if r.Header.Get("Content-Type") == "application/json-patch+json" {
		var patch jsonpatch.Patch
		if patch, err = jsonpatch.DecodePatch(body); err == nil {
			merged, err = patch.Apply(old)
		}
	} else {
		merged, err = jsonpatch.MergePatch(old, body)
	}
	if err != nil {
		status(w, 400, "BadRequest", err.Error())
		return
	}
	object := map[string]any{}
	if err := json.Unmarshal(merged, &object); err != nil {
		status(w, 400, "BadRequest", err.Error())
		return
	}
	object["kind"], object["apiVersion"] = resource[1], groupVersion
	u := unstructured.Unstructured{Object: object}
	if namespace != "" {
		u.SetNamespace(namespace)
	}
	if why := f.admit(resource[0], object); why != "" {
		status(w, 422, "Invalid", fmt.Sprintf("%s %q is invalid: %s", resource[1], u.GetName(), why))
		return
	}
	f.put(resource[0], object)
	reply(w, 200, f.objects[resource[0]+"/"+namespace+"/"+u.GetName()])
}

// watch streams changes. With sendInitialEvents it begins with all objects and a bookmark (KEP-3157).
func (f *fakeAPI) watch(w http.ResponseWriter, r *http.Request, resource, namespace string) {
	query := r.URL.Query()
	w.Header().Set("Content-Type", "application/json")
	flusher := w.(http.Flusher)
	send := func(kind string, object any) {
		data, err := json.Marshal(map[string]any{"type": kind, "object": object})
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(append(data, '\n'))
		flusher.Flush()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	from, _ := strconv.Atoi(query.Get("resourceVersion"))
	if query.Get("sendInitialEvents") == "true" {
		from = f.version
		for _, o := range f.list(resource, namespace) {
			if selected(o, query) {
				send("ADDED", o)
			}
		}
		send("BOOKMARK", map[string]any{"kind": "Bookmark", "apiVersion": "v1", "metadata": map[string]any{
			"resourceVersion": strconv.Itoa(from), "annotations": map[string]any{"k8s.io/initial-events-end": "true"}}})
	}
	flusher.Flush()
	stop := func() { f.mu.Lock(); defer f.mu.Unlock(); f.changed.Broadcast() }
	done := r.Context().Done()
	go func() { <-done; stop() }()
	for next := 0; ; {
		for ; next < len(f.log); next++ {
			e := f.log[next]
			if e.version > from && e.resource == resource && strings.HasPrefix(e.object, resource+"/"+namespace) && selected(e.content, query) {
				send(e.kind, e.content)
			}
		}
		if r.Context().Err() != nil || f.closed {
			return
		}
		f.changed.Wait()
	}
}

// selected applies label and field selectors.
func selected(object map[string]any, query url.Values) bool {
	u := unstructured.Unstructured{Object: object}
	if text := query.Get("labelSelector"); text != "" {
		selector, err := labels.Parse(text)
		if err != nil || !selector.Matches(labels.Set(u.GetLabels())) {
			return false
		}
	}
	if text := query.Get("fieldSelector"); text != "" {
		selector, err := fields.ParseSelector(text)
		if err != nil {
			return false
		}
		set := fields.Set{"metadata.name": u.GetName()}
		for _, path := range [][]string{{"involvedObject", "name"}, {"spec", "nodeName"}} {
			set[strings.Join(path, ".")], _, _ = unstructured.NestedString(object, path...)
		}
		return selector.Matches(set)
	}
	return true
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(err)
	}
}

func status(w http.ResponseWriter, code int, reason, message string) {
	reply(w, code, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
}
