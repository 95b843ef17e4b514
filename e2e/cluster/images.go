package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// loadNode puts the images that the node lacks from the engine into its containerd, under the names that pods use.
func (c *Cluster) loadNode(ctx context.Context, node string) error {
	var listed bytes.Buffer
	if err := c.engine.Exec(ctx, node, []string{"ctr", "--namespace=k8s.io", "images", "list", "--quiet"}, nil, &listed, nil); err != nil {
		return fmt.Errorf("list the images of node %s: %w", node, err)
	}
	have := strings.Fields(listed.String())
	var locals []string
	var tags [][2]string
	for _, image := range c.settings.Images.Load {
		if !slices.Contains(have, image.Name) {
			locals = append(locals, image.Local)
			tags = append(tags, [2]string{canonical(image.Local), image.Name})
		}
	}
	if len(locals) == 0 {
		return nil
	}
	archive, saved := io.Pipe()
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := c.engine.Stream(both, nil, saved, nil, append([]string{"save"}, locals...)...)
		_ = saved.CloseWithError(err) // always nil
		return err
	})
	group.Go(func() error {
		argv := []string{"ctr", "--namespace=k8s.io", "images", "import", "--all-platforms", "--digests", "-"}
		err := c.engine.Exec(both, node, argv, archive, nil, nil)
		_ = archive.CloseWithError(io.ErrClosedPipe) // so that the other side ends too; always nil
		return err
	})
	if err := group.Wait(); err != nil {
		return fmt.Errorf("load %s into node %s: %w", strings.Join(locals, ", "), node, err)
	}
	for _, tag := range tags {
		argv := []string{"ctr", "--namespace=k8s.io", "images", "tag", "--force", tag[0], tag[1]}
		if err := c.engine.Exec(ctx, node, argv, nil, nil, nil); err != nil {
			return fmt.Errorf("load %s into node %s: %w", tag[1], node, err)
		}
	}
	return nil
}

// canonical is an image's full name, as containerd knows what docker saved.
func canonical(name string) string {
	first, _, slash := strings.Cut(name, "/")
	switch {
	case !slash:
		return "docker.io/library/" + name
	case strings.ContainsAny(first, ".:") || first == "localhost":
		return name
	}
	return "docker.io/" + name
}
