package kind

import (
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/kind/pkg/log"
)

// logger writes kind's messages to one writer, warnings and the first level only, without its decoration.
type logger struct{ out io.Writer }

var _ log.Logger = logger{}

func (l logger) Warn(message string) {
	// svclab asks for a network of its own on purpose, provides for cgroup v1, and the offline image has no provisioner
	for _, known := range []string{"KIND_EXPERIMENTAL_DOCKER_NETWORK", "Here be dragons", "cgroup v1", "Could not read storage manifest"} {
		if strings.Contains(message, known) {
			return
		}
	}
	l.line("kind warns: " + message)
}
func (l logger) Warnf(format string, args ...any)  { l.Warn(fmt.Sprintf(format, args...)) }
func (l logger) Error(message string)              { l.line("kind: " + message) }
func (l logger) Errorf(format string, args ...any) { l.Error(fmt.Sprintf(format, args...)) }

// V says more only at level 0: kind's own steps.
func (l logger) V(level log.Level) log.InfoLogger {
	if level > 0 {
		return log.NoopInfoLogger{}
	}
	return l
}

// Info is one message of kind's: "Creating cluster …", " • Preparing nodes  ...", " ✓ Preparing nodes".
func (l logger) Info(message string) {
	message = strings.TrimSpace(strings.TrimRight(message, ". \n"))
	if done, ok := strings.CutPrefix(message, "✓ "); ok {
		l.line("kind: " + plain(done))
	}
	if failed, ok := strings.CutPrefix(message, "✗ "); ok {
		l.line("kind failed: " + plain(failed))
	}
}
func (l logger) Infof(format string, args ...any) { l.Info(fmt.Sprintf(format, args...)) }

// Enabled is always true: what is not wanted got a NoopInfoLogger.
func (l logger) Enabled() bool { return true }

func (l logger) line(text string) { _, _ = fmt.Fprintf(l.out, "%s\n", text) }

// plain keeps a message's letters and drops the pictures behind them.
func plain(message string) string {
	return strings.TrimRightFunc(message, func(r rune) bool { return r > 127 || r == ' ' })
}
