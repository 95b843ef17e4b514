package cli

import (
	"context"
	"io"
	"os"
	"time"
)

// follow copies what is appended to the file at path to w until ctx ends, and then what is left. Progress that cannot be
// shown stops no run: errors end the following.
func follow(ctx context.Context, path string, w io.Writer) {
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := io.Copy(w, file); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			_, _ = io.Copy(w, file)
			return
		case <-tick.C:
		}
	}
}
