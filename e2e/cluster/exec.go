package cluster

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"al.essio.dev/pkg/shellescape"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/svclab/svclab/e2e/cluster/docker"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
)

// nodeProber is where nodes have the prober; /tmp there is lost on a restart and out of docker cp's reach.
const nodeProber = "/kind/svclab/prober"

// Exec runs argv at the vantage with the streams connected and returns when it has ended: in a pod through the API
// server, on a node or outside through the engine, on the host as it is. A non-zero exit is an error. A prober's command
// goes to a prober that already runs there.
func (c *Cluster) Exec(ctx context.Context, v reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	var err error
	switch {
	case v.Unusable != "":
		err = errors.New(v.Unusable)
	case v.Kind != reach.Host && c.sessions.Supports(argv):
		err = c.sessions.Exec(ctx, c.exec, v, argv, stdin, stdout, stderr)
	default:
		err = c.exec(ctx, v, argv, stdin, stdout, stderr)
	}
	if err != nil {
		return fmt.Errorf("run %s at %s: %w", argv[0], v.Name, err)
	}
	return nil
}

// exec runs argv at a vantage as a process of its own.
func (c *Cluster) exec(ctx context.Context, v reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	switch namespace, pod := c.podAt(v); {
	case v.Kind == reach.Host:
		return c.host.Exec(ctx, v, argv, stdin, stdout, stderr)
	case pod != "":
		return c.execPod(ctx, namespace, pod, argv, stdin, stdout, stderr)
	default:
		container, there := c.containerAt(v)
		if !there {
			return errors.New("there is no such vantage")
		}
		return c.engine.Exec(ctx, container, argv, stdin, stdout, stderr)
	}
}

// podAt is the pod that a vantage is, or that stands in for it.
func (c *Cluster) podAt(v reach.Vantage) (namespace, pod string) {
	switch {
	case v.Kind == reach.Pod:
		return v.Namespace, v.PodName
	case v.Kind == reach.Node && c.engine == nil:
		return ClientsNamespace, c.hostPodOf(v.Node)
	}
	return "", ""
}

// containerAt is the engine's container that a vantage is.
func (c *Cluster) containerAt(v reach.Vantage) (name string, there bool) {
	switch {
	case c.engine == nil:
		return "", false
	case v.Kind == reach.Node && v.Node != "":
		return v.Node, true
	case v.Kind == reach.Outside:
		return c.outsideName(), true
	}
	return "", false
}

// containerOf returns the container of a pod in which programs are run. Pods of one name have the same containers.
func (c *Cluster) containerOf(ctx context.Context, namespace, name string) (string, error) {
	if namespace == ClientsNamespace {
		return clientContainer, nil
	}
	return c.containers.get(namespace+"/"+name, func() (string, error) {
		pod, err := c.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return "", fmt.Errorf("find the container of pod %s/%s: %w", namespace, name, err)
		}
		return container(pod), nil
	})
}

// execPod runs argv in the container of a pod of svclab's that is a vantage.
func (c *Cluster) execPod(ctx context.Context, namespace, pod string, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	container, err := c.containerOf(ctx, namespace, pod)
	if err != nil {
		return err
	}
	return c.execContainer(ctx, namespace, pod, container, argv, stdin, stdout, stderr)
}

// execContainer runs argv in a pod's container, by WebSocket, or by SPDY where the server or a proxy does not support that.
func (c *Cluster) execContainer(ctx context.Context, namespace, pod, container string, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	request := c.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: argv, Stdin: stdin != nil, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	socket, err := remotecommand.NewWebSocketExecutor(c.config, "GET", request.URL().String())
	if err != nil {
		return err
	}
	spdy, err := remotecommand.NewSPDYExecutor(c.config, "POST", request.URL())
	if err != nil {
		return err
	}
	executor, err := remotecommand.NewFallbackExecutor(socket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return err
	}
	var printed bytes.Buffer
	ctx = klog.NewContext(ctx, logr.Discard()) // client-go logs the end of every cancelled stream as an error
	streams := remotecommand.StreamOptions{Stdin: stdin, Stdout: orDiscard(stdout), Stderr: io.MultiWriter(orDiscard(stderr), &printed)}
	if err := executor.StreamWithContext(ctx, streams); err != nil {
		if printed.Len() > 0 {
			return fmt.Errorf("%w: %s", err, bytes.TrimSpace(printed.Bytes()))
		}
		return err
	}
	return nil
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// Command is a line for a shell on this machine that runs argv at the vantage, of standard tools only.
func (c *Cluster) Command(v reach.Vantage, argv []string) string {
	if v.Kind == reach.Host {
		return c.host.Command(v, argv)
	}
	if namespace, pod := c.podAt(v); pod != "" {
		line := []string{"kubectl", "--kubeconfig", c.kubeconfig, "--context", c.context, "exec", "-n", namespace, pod}
		if c.engine == nil && namespace == ClientsNamespace { // an injector may have put another first
			line = append(line, "-c", clientContainer)
		}
		line = append(line, "--")
		return shellescape.QuoteCommand(append(line, argv...))
	}
	if container, there := c.containerAt(v); there {
		return c.engine.Line(docker.ExecArgs(container, argv, false)...)
	}
	return shellescape.QuoteCommand(argv)
}

// Prober puts the prober program at the vantage, once, and returns its path there. It does so again for a pod or a
// container that was created again.
func (c *Cluster) Prober(ctx context.Context, v reach.Vantage) (path string, err error) {
	if v.Unusable != "" {
		return "", errors.New(v.Unusable)
	}
	switch v.Kind {
	case reach.Host:
		return c.host.Prober(ctx, v)
	case reach.Outside:
		return outsideProber, nil // its container was made with it
	}
	if namespace, name := c.podAt(v); name != "" {
		return c.podProber(ctx, namespace, name)
	}
	return c.probers.get(v.Name, func() (string, error) {
		program, err := c.engineProgram(ctx)
		if err != nil {
			return "", err
		}
		path := nodeProber + "-" + fingerprint(program)
		if err := c.engine.CopyTo(ctx, v.Node, docker.File{Path: path, Mode: 0o755, Data: program}); err != nil {
			return "", fmt.Errorf("put the prober on node %s: %w", v.Node, err)
		}
		return path, nil
	})
}

// podProber puts the prober into a pod that is a vantage.
func (c *Cluster) podProber(ctx context.Context, namespace, name string) (string, error) {
	pod, err := c.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("put the prober into pod %s/%s: %w", namespace, name, err)
	}
	return c.carryProber(ctx, pod, container(pod), func(program []byte) string { return "/tmp/svclab-prober-" + fingerprint(program) })
}

// PutProber puts the prober into a container of a pod, at a path, unless it is there.
func (c *Cluster) PutProber(ctx context.Context, pod *corev1.Pod, container, path string) error {
	_, err := c.carryProber(ctx, pod, container, func([]byte) string { return path })
	return err
}

// carryProber sends the prober compressed, because a conformance run puts it into some fifty pods, and the cluster may be far
// away. It needs sh, gzip, chmod and mv in the container, and a folder for the path that can be written.
func (c *Cluster) carryProber(ctx context.Context, pod *corev1.Pod, container string, pathOf func(program []byte) string) (string, error) {
	key := string(pod.UID) + " " + container // and the container's ID: its files go with it
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == container {
			key += " " + status.ContainerID
		}
	}
	return c.probers.get(key, func() (string, error) {
		node, err := c.client.CoreV1().Nodes().Get(ctx, pod.Spec.NodeName, metav1.GetOptions{})
		if err != nil {
			return "", fmt.Errorf("find the architecture of node %s: %w", pod.Spec.NodeName, err)
		}
		program, err := c.program(ctx, node.Status.NodeInfo.Architecture)
		if err != nil {
			return "", err
		}
		path := pathOf(program)
		if c.execContainer(ctx, pod.Namespace, pod.Name, container, []string{"test", "-x", path}, nil, nil, nil) == nil {
			return path, nil
		}
		packed, err := c.programs.get("gzip "+node.Status.NodeInfo.Architecture, func() ([]byte, error) {
			var buffer bytes.Buffer
			to := gzip.NewWriter(&buffer)
			_, err := to.Write(program)
			err = errors.Join(err, to.Close()) // which writes the rest
			return buffer.Bytes(), err
		})
		if err != nil {
			return "", fmt.Errorf("compress the prober: %w", err)
		}
		// Another process may look for the file meanwhile, so it appears under its name only when it is complete.
		script := `gzip -dc > "$0.$$" && chmod 755 "$0.$$" && mv "$0.$$" "$0"`
		if err := c.execContainer(ctx, pod.Namespace, pod.Name, container, []string{"sh", "-c", script, path}, bytes.NewReader(packed), nil, nil); err != nil {
			return "", fmt.Errorf("put the prober into pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		return path, nil
	})
}

// BuildProber builds the prober for the engine's containers, unless there is one. Otherwise the first probe does that.
func (c *Cluster) BuildProber(ctx context.Context) error {
	_, err := c.engineProgram(ctx)
	return err
}

// program returns the prober for Linux on an architecture.
func (c *Cluster) program(ctx context.Context, arch string) ([]byte, error) {
	return c.programs.get(arch, func() ([]byte, error) {
		path, err := probe.Binary(ctx, "linux", arch)
		if err != nil {
			return nil, fmt.Errorf("find the prober for linux/%s: %w", arch, err)
		}
		return os.ReadFile(path)
	})
}

// engineProgram returns the prober for the engine's containers, nodes among them.
func (c *Cluster) engineProgram(ctx context.Context) ([]byte, error) {
	return c.programs.get("engine", func() ([]byte, error) {
		arch, err := c.engine.Output(ctx, "version", "--format", "{{.Server.Arch}}")
		if err != nil {
			return nil, fmt.Errorf("find the engine's architecture: %w", err)
		}
		return c.program(ctx, arch)
	})
}
