// Package manifests embeds everything that svclab applies, as YAML a reader can use with kubectl: the sample app,
// the scenarios with their expected tables, and what the cluster itself is furnished with.
package manifests

import (
	"embed"
	"io/fs"
)

//go:embed all:app all:scenarios all:cluster all:metallb all:outside all:releases all:histories all:migrate all:incident durations.yaml
var files embed.FS

// FS is rooted at the folder manifests: "app/my-app.yaml", "scenarios/nodeport/service.yaml".
func FS() fs.FS { return files }
