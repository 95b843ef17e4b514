//go:build unix

package cli

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/exercises"
	"github.com/svclab/svclab/manifests"
)

// Ctrl-C in "svclab … 2>&1 | tee log" ends tee too. svclab must not die of the closed pipe before it has cleaned up.
func TestInterruptedWithNoReader(t *testing.T) {
	const own = "SVCLAB_TEST_KUBECONFIG"
	if kubeconfig := os.Getenv(own); kubeconfig != "" {
		os.Exit(Main(t.Context(), []string{"conformance", "--kubeconfig", kubeconfig}, console.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, manifests.FS(), exercises.FS()))
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{"clusters": [{"name": "c", "cluster": {"server": "http://` + silent.Addr().String() + `"}}], "contexts": [{"name": "c", "context": {"cluster": "c"}}], "current-context": "c"}`
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestInterruptedWithNoReader$")
	cmd.Env = append(os.Environ(), own+"="+kubeconfig)
	cmd.Stdout, cmd.Stderr = writer, writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	connection, err := silent.Accept() // it now waits for a response
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	reader.Close()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("it ended with %v, want exit code 2", err)
	}
}
