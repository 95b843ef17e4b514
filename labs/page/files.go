package page

import (
	"embed"
	"fmt"
	"io/fs"
	"path"

	"github.com/svclab/svclab/e2e/report"
)

// assets are the page's files. scripts/page.sh adds assets/bundle, the terminal emulator, which is not part of the checkout: without
// it everything but the terminal works.
//
//go:embed assets
var assets embed.FS

// file is a file that the page may load.
type file struct {
	kind string // its media type
	data []byte
}

// loadFiles returns all files by path. Only these are served, so no path leads elsewhere.
func loadFiles() (map[string]file, error) {
	files := map[string]file{"palette.css": {kind: kinds[".css"], data: report.Palette()}}
	root, err := fs.Sub(assets, "assets")
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		kind, known := kinds[path.Ext(name)]
		if !known {
			return fmt.Errorf("assets/%s: no media type is known for it", name)
		}
		data, err := fs.ReadFile(root, name)
		files[name] = file{kind: kind, data: data}
		return err
	})
	return files, err
}

var kinds = map[string]string{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
