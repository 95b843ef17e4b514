// Main packages of our own. They need what kubernetes-MINOR/go.mod pins, and are built as part of that module.
module github.com/svclab/svclab/scripts/components/programs

go 1.24
