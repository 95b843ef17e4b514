#!/usr/bin/env bash
# Builds the end-to-end tests that Kubernetes itself is released with, from the module that is pinned, and what they need to
# run: ginkgo, which runs them in several processes, and kubectl, which they call.
#
# usage: [KUBERNETES=1.37] scripts/upstream.sh
#
# What is built is cached by the content of its inputs. Prints KEY=VALUE lines on stdout; all else goes to stderr.
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

have go || die "Go is missing" "install Go 1.26 or newer (https://go.dev/dl)"
choose_minor
[[ -d $components/upstream-$minor ]] || die "the end-to-end tests of Kubernetes $minor are not pinned" "scripts/pin-kubernetes.sh $(kubernetes_version)"
lock build "builds images or tests"
need_space 6 "$cache_dir"
flags=$(kubernetes_ldflags "$(kubernetes_version)")
binaries "upstream-$minor" tool -ldflags "$flags"
tools=$built
test_binary "upstream-$minor" k8s.io/kubernetes/test/e2e -ldflags "$flags"
cat <<END
VERSION=$(pinned "upstream-$minor" k8s.io/kubernetes)
E2E_TEST=$built/e2e.test
GINKGO=$tools/ginkgo
KUBECTL=$tools/kubectl
END
