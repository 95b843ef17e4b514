package dryrun

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/scenario"
)

// command is a kubectl command: its words without kubectl, and its flags.
type command struct {
	args  []string
	flags map[string]string
}

// parseCommand tells flags from words. A flag may have its value behind "=" or in the next word; --force has none.
func parseCommand(text string) (command, error) {
	words, err := scenario.Words(text)
	if err != nil {
		return command{}, err
	}
	c := command{flags: map[string]string{}}
	for i := 1; i < len(words); i++ {
		flag, isFlag := strings.CutPrefix(words[i], "--")
		if !isFlag || flag == "" {
			c.args = append(c.args, words[i])
			continue
		}
		name, value, given := strings.Cut(flag, "=")
		if !given && name != "force" && i+1 < len(words) {
			i++
			value = words[i]
		}
		c.flags[name] = value
	}
	return c, nil
}

// kubectl follows a command that ends with exit code 0.
func (m *model) kubectl(text string) error {
	c, err := parseCommand(text)
	if err != nil {
		return err
	}
	verb := strings.Join(c.args[:min(2, len(c.args))], " ")
	switch first := strings.Fields(verb + " ?")[0]; {
	case slices.Contains([]string{"get", "describe", "exec", "logs"}, first), verb == "rollout status":
		return nil
	case first == "delete" && len(c.args) > 2:
		for _, name := range c.args[2:] {
			m.kubectlDelete(kindOf(c.args[1])+"/"+name, c.flags)
		}
		return nil
	case first == "patch" && len(c.args) == 3:
		return m.patch(kindOf(c.args[1])+"/"+c.args[2], cmp.Or(c.flags["type"], "strategic"), c.flags["subresource"], []byte(c.flags["patch"]))
	case verb == "rollout restart":
		for _, workload := range c.args[2:] {
			kind, name, _ := strings.Cut(workload, "/")
			for _, pod := range all[*corev1.Pod](m) {
				if ownedBy(pod, kindOf(kind)+"/"+name, name) {
					m.remove("pod/" + pod.Name)
				}
			}
		}
		return nil
	case verb == "set selector" && len(c.args) == 5:
		return m.setSelector(c.args[3], c.args[4])
	case verb == "create service" && len(c.args) == 4:
		return m.createService(c.args[2], c.args[3], c.flags)
	case verb == "expose deployment" && len(c.args) == 3:
		return m.expose(c.args[2], c.flags)
	}
	return fmt.Errorf("the command is not modelled: kubectl %s", strings.Join(c.args, " "))
}

// kubectlDelete deletes an object. A pod, or an object with finalizers, that is not waited for is terminating, until it is deleted by
// force or a patch takes the last finalizer away.
func (m *model) kubectlDelete(key string, flags map[string]string) {
	o, exists := m.objects[key]
	if _, isPod := o.(*corev1.Pod); exists && flags["wait"] == "false" && (isPod || len(o.GetFinalizers()) > 0) {
		o.SetDeletionTimestamp(&metav1.Time{Time: time.Unix(0, 0)})
		return
	}
	m.remove(key)
}

func (m *model) setSelector(service, selector string) error {
	s, exists := m.objects["service/"+service].(*corev1.Service)
	if !exists {
		return fmt.Errorf("service %s does not exist", service)
	}
	set, err := labels.ConvertSelectorToLabelsMap(selector)
	s.Spec.Selector = set
	return err
}

// createService follows "kubectl create service TYPE NAME --tcp=PORT:TARGET". The Service selects app=NAME.
func (m *model) createService(kind, name string, flags map[string]string) error {
	types := map[string]corev1.ServiceType{"clusterip": corev1.ServiceTypeClusterIP, "nodeport": corev1.ServiceTypeNodePort,
		"loadbalancer": corev1.ServiceTypeLoadBalancer, "externalname": corev1.ServiceTypeExternalName}
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: m.namespace, Labels: map[string]string{"app": name}},
		Spec: corev1.ServiceSpec{Type: types[kind], Selector: map[string]string{"app": name}, ExternalName: flags["external-name"]}}
	if s.Spec.Type == "" {
		return fmt.Errorf("create service: the type %q does not exist", kind)
	}
	if text := flags["tcp"]; text != "" {
		port, target, _ := strings.Cut(text, ":")
		p, err := newPort(port, cmp.Or(target, port))
		if err != nil {
			return err
		}
		if text := flags["node-port"]; text != "" {
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil {
				return fmt.Errorf("create service: node port: %w", err)
			}
			p.NodePort = int32(n)
		}
		s.Spec.Ports = []corev1.ServicePort{p}
	}
	m.set("service/"+name, s)
	return nil
}

// expose follows "kubectl expose deployment NAME --port=PORT": the Service selects what the Deployment selects.
func (m *model) expose(name string, flags map[string]string) error {
	d, exists := m.objects["deployment/"+name].(*appsv1.Deployment)
	if !exists {
		return fmt.Errorf("expose: deployment %s does not exist", name)
	}
	port, err := newPort(flags["port"], cmp.Or(flags["target-port"], flags["port"]))
	if err != nil {
		return err
	}
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: cmp.Or(flags["name"], name), Namespace: m.namespace},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceType(flags["type"]), Selector: d.Spec.Selector.MatchLabels, Ports: []corev1.ServicePort{port}}}
	if overrides := flags["overrides"]; overrides != "" {
		before, err := json.Marshal(s)
		if err != nil {
			return err
		}
		after, err := jsonpatch.MergePatch(before, []byte(overrides))
		if err != nil {
			return fmt.Errorf("expose: overrides: %w", err)
		}
		s = &corev1.Service{}
		if err := json.Unmarshal(after, s); err != nil {
			return fmt.Errorf("expose: overrides: %w", err)
		}
	}
	m.set("service/"+s.Name, s)
	return nil
}

func newPort(port, target string) (corev1.ServicePort, error) {
	n, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		return corev1.ServicePort{}, fmt.Errorf("port: %w", err)
	}
	return corev1.ServicePort{Port: int32(n), Protocol: corev1.ProtocolTCP, TargetPort: intstr.Parse(target)}, nil
}
