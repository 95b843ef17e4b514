package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// The files that [WriteAll] writes.
const (
	JSONFile     = "result.json"
	JUnitFile    = "junit.xml"
	TextFile     = "report.txt"
	HTMLFile     = "report.html"
	MarkdownFile = "summary.md"
	// The conformance report, which a conformance run has as well.
	ConformanceYAMLFile = "conformance.yaml"
	ConformanceJSONFile = "conformance.json"
)

// WriteAll writes the run into dir, which it creates if necessary: result.json, junit.xml, report.txt with every
// cell, report.html and summary.md, and the conformance report where the run has one. A file is replaced completely or
// not at all. When one cannot be written, the others still are, and the error names each missing file and what to do.
func WriteAll(dir string, run Run) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the output folder %s: %w%s", dir, err, remedy(err))
	}
	type file struct {
		name   string
		render func(io.Writer) error
	}
	var errs []error
	files := []file{
		{JSONFile, func(w io.Writer) error { return JSON(w, run) }},
		{JUnitFile, func(w io.Writer) error { return JUnit(w, run) }},
		{TextFile, func(w io.Writer) error { return Text(w, run, Style{Width: 120, Verbose: true}) }},
		{MarkdownFile, func(w io.Writer) error { return Markdown(w, run) }},
		{HTMLFile, func(w io.Writer) error { return HTML(w, run) }},
	}
	if c := run.Conformance; c != nil {
		files = append(files, file{ConformanceYAMLFile, func(w io.Writer) error { return ConformanceYAML(w, *c) }},
			file{ConformanceJSONFile, func(w io.Writer) error { return ConformanceJSON(w, *c) }})
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		var content bytes.Buffer
		if err := f.render(&content); err != nil {
			errs = append(errs, fmt.Errorf("render %s: %w", path, err))
			continue
		}
		if err := replace(path, content.Bytes()); err != nil {
			errs = append(errs, fmt.Errorf("write %s: %w%s", path, err, remedy(err)))
		}
	}
	return errors.Join(errs...)
}

// replace puts content at path in one step: readers see the old file or the new one. A temporary file that
// could not be completed is removed.
func replace(path string, content []byte) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
	}()
	if _, err := temp.Write(content); err != nil {
		return errors.Join(err, temp.Close())
	}
	// Not every file system reports a lack of space before this.
	if err := errors.Join(temp.Sync(), temp.Chmod(0o644), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// remedy is what to do about an error of the file system, to be put after it.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "; free some space there, or choose an output folder on another file system"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return "; choose an output folder that you may write to"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, fs.ErrExist):
		return "; something of that name is in the way: move it, or choose another output folder"
	}
	return ""
}
