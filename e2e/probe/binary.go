package probe

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// BinaryEnv is the environment variable with the path of a prober that is already built.
const BinaryEnv = "SVCLAB_PROBER"

const modulePath = "github.com/svclab/svclab"

// proberPackage is the prober's folder in the source checkout. sources returns all folders of this module that the prober
// is built from.
const proberPackage = "e2e/probe/prober"

func sources() []string { return []string{"e2e/reach", "e2e/probe/wire", proberPackage} }

// errNotHere reports that a source has no prober for the wanted platform, so that the next one is tried.
var errNotHere = errors.New("not here")

// Binary returns the path of a prober for a platform ("linux", "amd64"): the file that SVCLAB_PROBER names, if it is for that
// platform; else svclab-prober-OS-ARCH next to the running executable; else one that it builds from the source checkout
// around the working directory, the one that SVCLAB_ROOT names, or the one around the program, and caches in the user's cache
// folder, by the content of its sources and the Go version.
// Concurrent calls, also of other processes, are safe.
func Binary(ctx context.Context, goos, goarch string) (string, error) {
	finders := []func() (string, error){
		func() (string, error) { return fromEnv(os.Getenv(BinaryEnv), goos, goarch) },
		func() (string, error) { return besideExecutable(goos, goarch) },
		func() (string, error) { return fromSource(ctx, goos, goarch) },
	}
	for _, find := range finders {
		path, err := find()
		if !errors.Is(err, errNotHere) {
			return path, err
		}
	}
	return "", fmt.Errorf("no prober for %s/%s: there is no svclab-prober-%s-%s next to the program and no source checkout here; "+
		"run in a checkout of %s, or set %s to a prober", goos, goarch, goos, goarch, modulePath, BinaryEnv)
}

// fromEnv returns the named file if it is for the platform. A run may need probers for two platforms (linux in the cluster,
// darwin on the host), so a file for another platform is not an error.
func fromEnv(path, goos, goarch string) (string, error) {
	if path == "" {
		return "", errNotHere
	}
	platform, err := platformOf(path)
	if err != nil {
		return "", fmt.Errorf("%s is not a prober: %w", BinaryEnv, err)
	}
	if platform != goos+"/"+goarch {
		return "", errNotHere
	}
	return filepath.Abs(path)
}

func besideExecutable(goos, goarch string) (string, error) {
	executable, err := os.Executable()
	if err != nil {
		return "", errNotHere
	}
	path := filepath.Join(filepath.Dir(executable), fmt.Sprintf("svclab-prober-%s-%s", goos, goarch))
	if _, err := os.Stat(path); err != nil {
		return "", errNotHere
	}
	platform, err := platformOf(path)
	if err != nil {
		return "", fmt.Errorf("use the prober next to the program: %w", err)
	}
	if platform != goos+"/"+goarch {
		return "", fmt.Errorf("%s is for %s; replace it by one for %s/%s", path, platform, goos, goarch)
	}
	return path, nil
}

// platformOf returns "os/arch" from a program's build information. It returns an error if the program is not the prober.
func platformOf(path string) (string, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	if info.Path != modulePath+"/"+proberPackage {
		return "", fmt.Errorf("%s is %s, not svclab's prober", path, info.Path)
	}
	setting := map[string]string{}
	for _, s := range info.Settings {
		setting[s.Key] = s.Value
	}
	return setting["GOOS"] + "/" + setting["GOARCH"], nil
}

// fromSource builds the prober, unless the cache has one from the same sources.
func fromSource(ctx context.Context, goos, goarch string) (string, error) {
	root, err := "", errNotHere
	if work, failed := os.Getwd(); failed == nil {
		root, err = checkout(work)
	}
	if named := os.Getenv("SVCLAB_ROOT"); err != nil && named != "" { // a suite runs in its output folder, which may be anywhere
		root, err = checkout(named)
	}
	if program, broken := os.Executable(); err != nil && broken == nil {
		root, err = checkout(filepath.Dir(program))
	}
	if err != nil {
		return "", err
	}
	version, err := goCommand(ctx, root, nil, "env", "GOVERSION")
	if err != nil {
		return "", fmt.Errorf("build the prober: %w; install Go, or set %s to a prober", err, BinaryEnv)
	}
	sum, err := fingerprint(os.DirFS(root), version)
	if err != nil {
		return "", fmt.Errorf("build the prober: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("build the prober: %w; set HOME or XDG_CACHE_HOME", err)
	}
	path := filepath.Join(cache, "svclab", "prober", sum, fmt.Sprintf("svclab-prober-%s-%s", goos, goarch))
	if platform, err := platformOf(path); err == nil && platform == goos+"/"+goarch {
		return path, nil
	}
	return path, build(ctx, root, path, goos, goarch)
}

// build compiles into a temporary folder and renames the result, so that other processes never see a partial file.
func build(ctx context.Context, root, path, goos, goarch string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("build the prober: %w", err)
	}
	scratch, err := os.MkdirTemp(filepath.Dir(path), "build-")
	if err != nil {
		return fmt.Errorf("build the prober: %w", err)
	}
	defer os.RemoveAll(scratch)
	output := filepath.Join(scratch, "prober")
	_, err = goCommand(ctx, root, []string{"CGO_ENABLED=0", "GOOS=" + goos, "GOARCH=" + goarch, "GOFLAGS="},
		"build", "-trimpath", "-gcflags=all=-dwarf=false", "-buildvcs=false", "-ldflags", "-s -w", "-o", output, "./"+proberPackage)
	if err != nil {
		return fmt.Errorf("build the prober: %w", err)
	}
	if err := os.Rename(output, path); err != nil {
		return fmt.Errorf("build the prober: %w", err)
	}
	return nil
}

// checkout returns the nearest folder, from one upwards, that has this module's go.mod.
func checkout(from string) (string, error) {
	for dir := from; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && declares(string(text), modulePath) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errNotHere
		}
	}
}

// declares reports whether a go.mod is of a module.
func declares(gomod, module string) bool {
	for line := range strings.Lines(gomod) {
		if name, found := strings.CutPrefix(strings.TrimSpace(line), "module "); found {
			return strings.Trim(strings.TrimSpace(name), `"`) == module
		}
	}
	return false
}

// fingerprint returns a folder name that changes whenever something that the prober is built from changes.
func fingerprint(tree fs.FS, goVersion string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, goVersion)
	names := []string{"go.mod"} // pins the versions of the other modules that the prober is built from
	for _, folder := range sources() {
		files, err := fs.Glob(tree, folder+"/*.go")
		if err != nil {
			return "", err
		}
		files = slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
		if len(files) == 0 {
			return "", fmt.Errorf("no Go files in %s", folder)
		}
		names = append(names, files...)
	}
	for _, name := range names {
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d\n", name, len(text))
		_, _ = sum.Write(text) // a hash never fails
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

// goCommand runs go in a folder and returns its trimmed output.
func goCommand(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir, command.Env = dir, append(os.Environ(), env...)
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
