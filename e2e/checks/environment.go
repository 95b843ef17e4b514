package checks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"github.com/svclab/svclab/e2e/grace"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// environmentArgs are those of the check environment.
type environmentArgs struct {
	Service string `json:"service"`
	// Pods selects a pod of agnhost; the check's own are like its first.
	Pods string `json:"pods"`
}

// The containers of the check's pods: where each connects to.
const (
	toService   = "service"
	toAPIServer = "api-server"
)

// environment starts two pods, which know addresses only by the variables in their environment. In one of them a container is led
// to the Service and one to the API server; in the other, which has no service links, only the latter.
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
func environment(ctx context.Context, env Env, args environmentArgs) ([]string, error) {
	if _, err := (serviceArgs{args.Service}).find(env); err != nil {
		return nil, err
	}
	selector, err := labels.Parse(args.Pods)
	if err != nil {
		return nil, fmt.Errorf("pods: %w", err)
	}
	i := slices.IndexFunc(env.World.Pods, func(p corev1.Pod) bool { return p.Namespace == env.Namespace && selector.Matches(labels.Set(p.Labels)) })
	if i < 0 {
		return nil, fmt.Errorf("there is no pod with %q", args.Pods)
	}
	var (
		lines = make([]string, 2)
		group errgroup.Group
	)
	for n, links := range []bool{true, false} {
		group.Go(func() error {
			codes, err := runToEnd(ctx, env, linkedPod(&env.World.Pods[i], args.Service, links))
			if err == nil {
				lines[n], err = judgeEnvironment(codes, args.Service, links)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return lines, nil
}

// linkedPod is a pod like another one whose containers connect to what the variables of a Service, and those of the API server, say.
// Where a variable does not exist, its reference stays as it is, and is no address.
func linkedPod(like *corev1.Pod, service string, links bool) *corev1.Pod {
	prefix := strings.ToUpper(strings.ReplaceAll(service, "-", "_"))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "environment-", Namespace: like.Namespace}, Spec: corev1.PodSpec{
		SecurityContext: like.Spec.SecurityContext, Tolerations: like.Spec.Tolerations, ImagePullSecrets: like.Spec.ImagePullSecrets,
		RestartPolicy: corev1.RestartPolicyNever, EnableServiceLinks: &links, AutomountServiceAccountToken: ptr.To(false), TerminationGracePeriodSeconds: ptr.To(int64(0))}}
	for _, c := range []struct{ name, prefix string }{{toService, prefix}, {toAPIServer, "KUBERNETES"}} {
		app := like.Spec.Containers[0]
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: c.name, Image: app.Image, ImagePullPolicy: app.ImagePullPolicy,
			SecurityContext: app.SecurityContext, Resources: app.Resources,
			Args: []string{"connect", "--timeout=5s", fmt.Sprintf("$(%s_SERVICE_HOST):$(%s_SERVICE_PORT)", c.prefix, c.prefix)}})
	}
	return pod
}

// runToEnd creates a pod, waits until all its containers have ended, and deletes it. It returns their exit codes.
func runToEnd(ctx context.Context, env Env, pod *corev1.Pod) (codes map[string]int32, err error) {
	pods := env.Client.CoreV1().Pods(env.Namespace)
	request, done := grace.Context(ctx)
	defer done()
	made, err := pods.Create(request, pod, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create a pod: %w", err)
	}
	defer func() {
		if gone := pods.Delete(request, made.Name, *metav1.NewDeleteOptions(0)); gone != nil {
			err = errors.Join(err, fmt.Errorf("delete pod %s: %w", made.Name, gone))
		}
	}()
	err = wait.For(ctx, "pod "+made.Name+" to end", wait.Retry(func(ctx context.Context) (bool, string, error) {
		now, err := pods.Get(ctx, made.Name, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		codes = map[string]int32{}
		for _, s := range now.Status.ContainerStatuses {
			if s.State.Terminated != nil {
				codes[s.Name] = s.State.Terminated.ExitCode
			}
		}
		return world.Ended(now), fmt.Sprintf("it is %s", now.Status.Phase), nil
	}), wait.Timeout(time.Minute))
	return codes, err
}

// judgeEnvironment returns an error unless the containers were led where their variables should lead them.
func judgeEnvironment(codes map[string]int32, service string, links bool) (string, error) {
	led := func(name string) bool { code, ended := codes[name]; return ended && code == 0 }
	switch {
	case len(codes) != 2:
		return "", fmt.Errorf("the pod ended without its containers: %v", codes)
	case !led(toAPIServer):
		return "", reach.Failf("a pod was not led to the API server by KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT")
	case links && !led(toService):
		return "", reach.Failf("a pod was not led to service %s by its environment variables", service)
	case !links && led(toService):
		return "", reach.Failf("a pod without service links has the environment variables of service %s", service)
	case links:
		return fmt.Sprintf("a pod was led to service %s and to the API server by its environment variables", service), nil
	}
	return "one without service links was led to the API server only", nil
}
