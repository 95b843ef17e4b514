// Command svclab verifies and teaches how Kubernetes Services expose ports at layer 4.
package main

import (
	"context"
	"os"

	"github.com/svclab/svclab/labs/cli"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/exercises"
	"github.com/svclab/svclab/manifests"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], console.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, manifests.FS(), exercises.FS()))
}
