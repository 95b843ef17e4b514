// Package tether starts programs that end with this process, however it ends: by itself, by a signal, or by SIGKILL, which
// no process can handle.
//
// Run is for a program with children of its own, such as a script: it has a process group, and a guard outside of the group
// reads from a pipe whose other end only this process has. The pipe closes with this process. Then the guard stops the
// group. Bind is for a single short program: on Linux the kernel kills it.
//
// On Windows, which has neither process groups nor signals, programs may outlive this process.
package tether
