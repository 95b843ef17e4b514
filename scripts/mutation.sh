#!/usr/bin/env bash
# Mutation testing with gremlins, at the version that scripts/components pins: it changes one operator of a package at a time,
# in a copy of the module, and runs the package's tests. A mutant that no test notices survives.
#
# usage: scripts/mutation.sh [PACKAGE…]     for instance e2e/reach; without arguments all packages below
#
# Fails with exit code 1 if in any package less than 90 % of the mutants are killed, and names the survivors.
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$scripts_dir/.."

required=90 # per cent
bound=60m   # for one package
packages=("$@")
((${#packages[@]})) || packages=(e2e/reach e2e/world e2e/oracle e2e/scenario e2e/table e2e/observe labs/coach)
for package in "${packages[@]}"; do
  compgen -G "$package/*_test.go" >/dev/null || die "$package is no folder with tests" "name one, for instance e2e/reach"
done
binaries gremlins tool

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/tmp" "$work/module"
git ls-files --cached --others --exclude-standard | while read -r file; do [[ ! -f $file ]] || printf '%s\n' "$file"; done |
  tar --create --files-from=- | tar --extract --directory="$work/module"

# Between gremlins and the go command, two corrections:
# - A mutant that does not compile is not viable if the exit code is 2, but "go test" ends with 1 then, as for a test that fails.
# - Go's coverage has no block for the expressions of a case, and gremlins does not try what is not covered. So every line
#   counts as covered and every mutant is tried.
cat >"$work/bin/go" <<SHIM
#!/usr/bin/env bash
output=\$("$(command -v go)" "\$@" 2>&1) && status=0 || status=\$?
printf '%s\n' "\$output"
[[ \$output != *'[build failed]'* ]] || status=2
if [[ " \$* " =~ ' -coverprofile '([^ ]+)' ' && -f \${BASH_REMATCH[1]} ]]; then
  sed -i -E '/^mode:/!s/:[0-9.,]+ [0-9]+ [0-9]+\$/:1.1,99999.1 1 1/' "\${BASH_REMATCH[1]}"
fi
exit "\$status"
SHIM
chmod +x "$work/bin/go"

# Without -count=1 a cached test run would be measured, and its time bounds the run of every mutant. Only tests count, not vet.
export TMPDIR=$work/tmp GOFLAGS="-count=1 -vet=off"
failed=0
for package in "${packages[@]}"; do
  log=$logs/mutation-${package//\//-}.log
  (cd "$work/module" && PATH=$work/bin:$PATH heartbeat "mutants of $package" "$log" nice -n 10 timeout "$bound" \
    "$built/gremlins" unleash --workers 1 --timeout-coefficient 20 \
    --invert-logical --invert-loopctrl --invert-assignments --remove-self-assignments "./$package") ||
    die "the mutants of $package could not be tested, or took more than $bound" "read $log"
  # Only a mutant that a test failed on is killed. One that is not covered or timed out survives: a slow machine can only make
  # the result worse.
  read -r killed survived < <(awk '/^ *KILLED /{k++} /^ *(LIVED|NOT COVERED|TIMED OUT) /{s++} END{print k+0, s+0}' "$log")
  ((killed + survived)) || die "$package has no mutants" "read $log"
  percent=$((100 * killed / (killed + survived)))
  grep -E '^ *(LIVED|NOT COVERED|TIMED OUT) ' "$log" | sed -E "s#^ *(.*) at #  \1 at $package/#" || true
  echo "$package: $killed of $((killed + survived)) mutants killed ($percent %)"
  ((percent >= required)) || failed=1
done
((failed == 0)) || { say "less than $required % killed: write tests for the behaviour that the survivors change"; exit 1; }
