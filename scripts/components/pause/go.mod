// The sandbox container's program. It needs nothing but the standard library.
module github.com/svclab/svclab/scripts/components/pause

go 1.26.0
