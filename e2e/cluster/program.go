package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

// Program is one of another release, which runs in the place of the program of a container's image. The zero Program is the image's own.
type Program struct {
	// Release is its version: "v1.12.0".
	Release string
	// File is its file name on this machine; scripts/component.sh builds it.
	File string
}

// ErrProgram means that a program of another release does not run, or does not do its work.
var ErrProgram = errors.New("a program of another release does not work")

var releaseText = regexp.MustCompile(`^v[01]\.[0-9]+\.[0-9]+$`)

// check returns ErrSettings where the text is no release. example is a release.
func (p Program) check(name, example string) error {
	if p.Release != "" && !releaseText.MatchString(p.Release) {
		return bad("the release of "+name, p.Release, "a release such as "+example+", with its patch number")
	}
	return nil
}

// place is the place of a program: the container of a pod, and the path of the program in its image.
type place struct{ container, path string }

// file is where a program of a release is on a node.
func (p place) file(release string) string { return "/kind/svclab/" + p.container + "-" + release }

// annotation on pods says which other program runs in the place.
func (p place) annotation() string { return "svclab.io/" + p.container }

// copy puts a program onto every node, and removes those of earlier calls, which no pod needs once it runs.
func (p place) copy(ctx context.Context, c *Cluster, of Program) error {
	if of.Release == "" {
		return nil
	}
	text, err := os.ReadFile(of.File)
	if err != nil {
		return fmt.Errorf("read %s %s: %w", p.container, of.Release, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, node := range c.nodeNames() {
		group.Go(func() error {
			if err := c.engine.Exec(ctx, node, []string{"sh", "-c", "rm -f " + p.file("*")}, nil, nil, nil); err != nil {
				return fmt.Errorf("make room for %s on %s: %w", p.container, node, err)
			}
			if err := c.engine.CopyTo(ctx, node, docker.File{Path: p.file(of.Release), Mode: 0o755, Data: text}); err != nil {
				return fmt.Errorf("copy %s %s to %s: %w", p.container, of.Release, node, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// into has the pods of a template run a release in the place: its program is mounted over that of the image. Empty: the image's own.
// annotated is what the annotation says.
func (p place) into(template *corev1.PodTemplateSpec, release, annotated string) {
	if template.Annotations == nil {
		template.Annotations = map[string]string{}
	}
	template.Annotations[p.annotation()] = annotated
	if annotated == "" {
		delete(template.Annotations, p.annotation())
	}
	volume, spec := "svclab-"+p.container, &template.Spec
	spec.Volumes = slices.DeleteFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == volume })
	for i := range spec.Containers {
		mounts := &spec.Containers[i].VolumeMounts
		*mounts = slices.DeleteFunc(*mounts, func(m corev1.VolumeMount) bool { return m.Name == volume })
		if release != "" && spec.Containers[i].Name == p.container {
			*mounts = append(*mounts, corev1.VolumeMount{Name: volume, MountPath: p.path, ReadOnly: true})
		}
	}
	if release != "" {
		file := corev1.HostPathFile
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: volume,
			VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: p.file(release), Type: &file}}})
	}
}
