package wire

// Command is one line of `prober stay`'s input: arguments for a prober, and all that it is to read. It is carried out as a
// prober of its own would, and what that prints is printed; a line of Begun comes before it and one of Ended after it.
type Command struct {
	Args  []string `json:"args"`
	Input string   `json:"input,omitempty"`
}

// Frame is a line that `prober stay` puts around what a command prints; exactly one of its fields is set.
type Frame struct {
	Begun *Begun `json:"stayBegun,omitempty"`
	Ended *Ended `json:"stayEnded,omitempty"`
}

// FramePrefix is what every Frame's line begins with, and no other line of a prober's does.
const FramePrefix = `{"stay`

// Begun says that a command was read. Before it nothing of the command has been done.
type Begun struct{}

// Ended says that a command has come to its end.
type Ended struct {
	// Code is the exit code that a prober of its own would have had, Said what it would have written to stderr.
	Code int    `json:"code"`
	Said string `json:"said,omitempty"`
}
