package wire

// Command is one line of the input of `prober session`: the arguments and the complete stdin of a prober. The session runs
// it as a separate prober would, between a line with Begun and a line with Ended.
type Command struct {
	Args  []string `json:"args"`
	Input string   `json:"input,omitempty"`
}

// Frame is a line that `prober session` prints around the output of a command. Exactly one of its fields is set.
type Frame struct {
	Begun *Begun `json:"sessionBegun,omitempty"`
	Ended *Ended `json:"sessionEnded,omitempty"`
}

// FramePrefix starts the line of every Frame and no other line of a prober's output.
const FramePrefix = `{"session`

// Begun acknowledges a command. The session has done nothing of the command before it.
type Begun struct{}

// Ended reports the end of a command.
type Ended struct {
	// Code is the exit code, Said the stderr that a separate prober would have had.
	Code int    `json:"code"`
	Said string `json:"said,omitempty"`
}
