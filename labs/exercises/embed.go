// Package exercises embeds the learning lab's exercises: data, loaded by package course.
package exercises

import (
	"embed"
	"io/fs"
)

//go:embed all:[0-9][0-9]-* words.*.md
var files embed.FS

// FS is rooted at the folder of exercises: "04-wrong-target-port/exercise.yaml". words.en.md and words.zh.md are the glossary.
func FS() fs.FS { return files }
