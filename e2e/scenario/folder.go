package scenario

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"sigs.k8s.io/yaml"
)

// Folders returns the names of the folders in dir of fsys, sorted; each holds one thing of the kind that what names. Files in
// dir are errors, as is a dir without folders.
func Folders(fsys fs.FS, dir, what string) ([]string, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("list the %ss: %w", what, err)
	}
	var (
		names []string
		errs  []error
	)
	for _, e := range entries {
		if !e.IsDir() {
			errs = append(errs, fmt.Errorf("%s: an unused file: only folders belong here, one for each %s", path.Join(dir, e.Name()), what))
			continue
		}
		names = append(names, e.Name())
	}
	if len(names) == 0 {
		errs = append(errs, fmt.Errorf("%s: there is no %s", dir, what))
	}
	return names, errors.Join(errs...)
}

// DecodeFile reads one YAML file into out. Unknown and duplicate fields are errors. fill replaces placeholders in the text
// first; nil replaces none.
func DecodeFile(fsys fs.FS, file string, fill func(string) string, out any) error {
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return err
	}
	if fill != nil {
		data = []byte(fill(string(data)))
	}
	asJSON, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return err
	}
	return DecodeStrict(asJSON, out)
}

// Prefixed returns err with prefix before each of its lines, so that each error of a file names the file.
func Prefixed(prefix string, err error) error {
	var errs []error
	for line := range strings.SplitSeq(err.Error(), "\n") {
		errs = append(errs, errors.New(prefix+line))
	}
	return errors.Join(errs...)
}
