package kind

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// LoadImage copies an image from the engine to every node that lacks it, under the names that pods use: args, or the image's
// own name where there are none.
func (p *Provider) LoadImage(ctx context.Context, image string, args ...string) (err error) {
	names := args
	if len(names) == 0 {
		names = []string{canonical(image)}
	}
	nodes, err := p.nodesLacking(ctx, names)
	if err != nil || len(nodes) == 0 {
		return err
	}
	dir, err := os.MkdirTemp("", "svclab-image-")
	if err != nil {
		return fmt.Errorf("load %s: %w", image, err)
	}
	defer func() {
		if gone := os.RemoveAll(dir); err == nil {
			err = gone
		}
	}()
	archive := filepath.Join(dir, "image.tar")
	if err := p.engine.Run(ctx, "save", "--output", archive, image); err != nil {
		return fmt.Errorf("load %s: %w", image, err)
	}
	return each(ctx, nodes, func(ctx context.Context, node string) error {
		if err := p.importArchive(ctx, node, archive); err != nil {
			return err
		}
		for _, name := range names {
			argv := []string{"ctr", "--namespace=k8s.io", "images", "tag", "--force", canonical(image), name}
			if name == canonical(image) {
				continue
			}
			if err := p.engine.Exec(ctx, node, argv, nil, nil, nil); err != nil {
				return fmt.Errorf("load %s into node %s: %w", name, node, err)
			}
		}
		return nil
	})
}

// LoadImageArchive imports an archive of images, as docker save writes it, into every node. It accepts no arguments.
func (p *Provider) LoadImageArchive(ctx context.Context, archivePath string, args ...string) error {
	if len(args) > 0 {
		return fmt.Errorf("load %s: unknown arguments %q", archivePath, args)
	}
	nodes, err := p.nodes(ctx)
	if err != nil {
		return err
	}
	return each(ctx, nodes, func(ctx context.Context, node string) error { return p.importArchive(ctx, node, archivePath) })
}

func (p *Provider) importArchive(ctx context.Context, node, path string) error {
	archive, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("load %s into node %s: %w", path, node, err)
	}
	defer func() { _ = archive.Close() }() // it was only read
	argv := []string{"ctr", "--namespace=k8s.io", "images", "import", "--all-platforms", "--digests", "-"}
	if err := p.engine.Exec(ctx, node, argv, archive, nil, nil); err != nil {
		return fmt.Errorf("load %s into node %s: %w", path, node, err)
	}
	return nil
}

// nodes returns the names of the cluster's node containers.
func (p *Provider) nodes(ctx context.Context) ([]string, error) {
	containers, err := p.engine.Containers(ctx, "label="+Label+"="+p.name)
	if err != nil {
		return nil, fmt.Errorf("list the nodes of cluster %s: %w", p.name, err)
	}
	names := make([]string, len(containers))
	for i, container := range containers {
		names[i] = container.Name
	}
	return names, nil
}

// nodesLacking returns the nodes whose containerd does not know all of the images named.
func (p *Provider) nodesLacking(ctx context.Context, images []string) (lacking []string, err error) {
	nodes, err := p.nodes(ctx)
	if err != nil {
		return nil, err
	}
	for _, node := range nodes {
		var listed bytes.Buffer
		if err := p.engine.Exec(ctx, node, []string{"ctr", "--namespace=k8s.io", "images", "list", "--quiet"}, nil, &listed, nil); err != nil {
			return nil, fmt.Errorf("list the images of node %s: %w", node, err)
		}
		have := strings.Fields(listed.String())
		if slices.ContainsFunc(images, func(image string) bool { return !slices.Contains(have, image) }) {
			lacking = append(lacking, node)
		}
	}
	return lacking, nil
}

// each calls do for every node at the same time.
func each(ctx context.Context, nodes []string, do func(ctx context.Context, node string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, node := range nodes {
		group.Go(func() error { return do(ctx, node) })
	}
	return group.Wait()
}

// canonical returns an image's full name, under which containerd stores what docker saved.
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
