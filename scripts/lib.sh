# shellcheck shell=bash
# What the scripts share: messages, the cache, content hashes, a heartbeat. Sourced, never run.

scripts_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# What was built is kept by the content of what it was built from, outside the checkout: a fresh clone finds it.
cache_dir=${SVCLAB_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/cache}/.cache}/svclab}
# The flags of everything that is compiled, which are the Makefile's too: so all shares one build cache. Without debug information,
# which the linker drops in any case, compiling takes less time.
build_flags="-trimpath -gcflags=all=-dwarf=false"
[[ " ${GOFLAGS:-} " == *" $build_flags "* ]] || export GOFLAGS="${GOFLAGS:+$GOFLAGS }$build_flags"

say() { printf 'svclab: %s\n' "$*" >&2; }

# A user error: what is wrong, then how to mend it. Exit code 2.
die() {
  printf 'svclab: error: %s\n' "$1" >&2
  [[ $# -lt 2 ]] || printf 'svclab: fix: %s\n' "$2" >&2
  exit 2
}

# at_exit COMMAND…: runs the command when the script ends, whatever ends it; the last one first. Not in a subshell.
at_exit_commands=
at_exit() {
  at_exit_commands="$(printf '%q ' "$@")
$at_exit_commands"
  trap 'eval "$at_exit_commands"' EXIT
}

have() { command -v "$1" >/dev/null 2>&1; }

# macOS has bash 3.2 and no GNU programs. Of the few that the scripts use there, these stand in for two.
have timeout || timeout() { perl -e 'alarm shift; exec @ARGV or die "$ARGV[0]: $!\n"' "$@"; }
have sha256sum || sha256sum() { shasum -a 256; }

# use_engine: makes sure of an engine (see engine.sh up) and sets DOCKER_HOST for it. Ends the script if there is none.
use_engine() {
  local line
  line=$("$scripts_dir/engine.sh" up)
  [[ -z $line ]] || export "${line?}"
}

# floor_config FILE: svclab's kind configuration as a cluster of kind alone has it, without the name and the published port.
floor_config() { sed 's/^name: .*//; /extraPortMappings/,/protocol/d' "$1"; }

# measure COMMAND…: runs it and sets seconds and processor to what it took: wall-clock, and the CPU-seconds of the whole machine,
# because the engine has its share of the work ("-" on a system without /proc/stat).
# shellcheck disable=SC2034 # callers read seconds
measure() {
  local began before status=0
  before=$(machine_processor) began=$(now)
  "$@" || status=$?
  seconds=$(minus "$(now)" "$began")
  processor=$(machine_processor)
  [[ $processor == - ]] || processor=$(minus "$processor" "$before")
  return "$status"
}

# now: seconds since 1970 with their fraction; macOS's date has none
now() { perl -MTime::HiRes=time -e 'printf "%.2f", time'; }

# machine_processor: the CPU-seconds that all processes of this machine have used since it started
machine_processor() {
  if [[ -r /proc/stat ]]; then awk -v tick="$(getconf CLK_TCK)" '/^cpu / { print ($2 + $3 + $4) / tick }' /proc/stat; else echo -; fi
}

print_row() { printf '%-44s %9s %12s\n' "$@"; }
plus() { awk -v a="$1" -v b="$2" 'BEGIN { printf (a == "-" || b == "-") ? "-" : "%.1f", a + b }'; }
minus() { awk -v a="$1" -v b="$2" 'BEGIN { printf (a == "-" || b == "-") ? "-" : "%.1f", a - b }'; }

# lock NAME WHAT: holds $cache_dir/NAME.lock until the script ends, and waits for the svclab that has it. macOS has no flock:
# there two at once build twice.
lock() {
  have flock || return 0
  mkdir -p "$cache_dir"
  exec 7>"$cache_dir/$1.lock"
  flock -n 7 && return
  say "another svclab $2; waiting for it"
  flock -w 1800 7 || die "another svclab has been at work for half an hour: it $2" "see $logs"
}

# workspace: sets work to a new folder of this process, which is removed when the script ends. Removes those that a killed
# process left a day ago.
workspace() {
  mkdir -p "$cache_dir"
  find "$cache_dir" -maxdepth 1 -name 'work.*' -mmin +1440 -exec rm -rf {} +
  work=$(mktemp -d "$cache_dir/work.XXXXXX")
  at_exit rm -rf "$work"
}

# A short hash of the files and words given: every input of a build, nothing else.
hash_of() {
  local input
  for input in "$@"; do
    if [[ -f $input ]]; then sha256sum <"$input"; else printf '%s\n' "$input"; fi
  done | sha256sum | cut -c1-12
}

# part_of_build WHAT: what a step is of building all images, as text; nothing for other steps.
part_of_build() {
  awk -v what="$1" '/^#/ { next } { all += $1 * $2; name = $0; sub(/^[0-9]+ [0-9]+ /, "", name) } !own && index(what, name) == 1 { own = $1 }
    END { if (own * 100 > all) printf ", %.0f %% of all images", 100 * own / all }' "$scripts_dir/parts.txt"
}

# heartbeat "what" LOG command…: runs the command with its output in LOG, says every 15 s that it is still at work, and on
# failure shows the end of the log. When the script is interrupted, the command and all that it started end first.
heartbeat() {
  local what=$1 log=$2 began=$SECONDS child status=0 ticks=0 part
  part=$(part_of_build "$what")
  shift 2
  mkdir -p "$(dirname "$log")"
  # job control gives the command a process group of its own; without it, it would ignore Ctrl-C
  set -m
  "$@" >"$log" 2>&1 </dev/null &
  child=$!
  set +m
  # shellcheck disable=SC2064 # the child is known now
  trap "end_group $child; exit 130" HUP INT TERM
  while kill -0 "$child" 2>/dev/null; do
    sleep 0.2
    ticks=$((ticks + 1))
    if ((ticks % 75 == 0)); then say "  … $what, $((SECONDS - began)) s$part"; fi
  done
  wait "$child" || status=$?
  trap - HUP INT TERM
  if ((status != 0)); then
    printf 'svclab: error: %s failed (exit %d); the end of %s:\n' "$what" "$status" "$log" >&2
    tail -n 20 "$log" >&2
    if grep -qi 'no space left on device' "$log"; then die "the disk is full" "free some space (df -h ${cache_dir%/*}), then run the same command again: it goes on where it stopped"; fi
    return "$status"
  fi
  say "  $what: $((SECONDS - began)) s$part"
}

# end_group PID: ends a process group, by force after 10 s, and waits for its leader.
end_group() {
  local _
  kill -TERM -- "-$1" 2>/dev/null || return 0
  for _ in $(seq 100); do
    kill -0 -- "-$1" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL -- "-$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

# A background job that has its own heartbeat ends what it started by itself. A pid that is no job of this shell any more may
# be another process's by now.
end_background() {
  grep -qx "$1" <<<"$(jobs -pr)" || return 0
  kill "$1" 2>/dev/null || return 0
  wait "$1" 2>/dev/null || true
}

# need_space GIB FOLDER: refuses to begin what could not end.
need_space() {
  local folder=$2 free
  while [[ ! -d $folder ]]; do folder=$(dirname "$folder"); done
  free=$(df -Pk "$folder" | awk 'END { print $4 }')
  if ((free < $1 * 1024 * 1024)); then
    die "$folder has $((free / 1024 / 1024)) GiB free, and $1 GiB are needed" "free some space, or name a roomier folder with SVCLAB_CACHE=… and SVCLAB_ENGINE_HOME=…"
  fi
}

# setting KEY: a value of versions.env.
setting() {
  local value
  value=$(sed -n "s/^$1=//p" "$scripts_dir/versions.env")
  [[ -n $value ]] || die "scripts/versions.env has no $1"
  printf '%s' "$value"
}

# --- what is built from Go modules, see components/ ------------------------------------------------------------

components=$scripts_dir/components
logs=$cache_dir/log

# choose_minor: sets minor to the Kubernetes minor that KUBERNETES asks for, or the default.
choose_minor() {
  local known
  minor=${KUBERNETES:-$(setting KUBERNETES_DEFAULT)}
  minor=${minor#v}
  [[ $minor =~ ^1\.[0-9]+$ && -d $components/kubernetes-$minor ]] && return
  known=$(cd "$components" && echo kubernetes-* | sed 's/kubernetes-//g; s/ /, /g')
  die "Kubernetes $minor is not supported" "use KUBERNETES=… with one of: $known"
}

# module_folder COMPONENT MODULE: where the module cache has a pinned module's source; it is put there first.
module_folder() { (cd "$components/$1" && go mod download "$2" && go list -mod=mod -m -f '{{.Dir}}' "$2"); }

# pinned COMPONENT MODULE: the version of a pinned module, from the go.mod that pins it.
pinned() { sed -n -E "s#^(require )?[[:space:]]*$2 (v[^ ]*).*#\2#p" "$components/$1/go.mod" | head -n 1; }

kubernetes_version() { pinned "kubernetes-$minor" k8s.io/kubernetes; }

# kubernetes_ldflags VERSION: what makes Kubernetes' programs tell their version.
kubernetes_ldflags() {
  local version=$1 flags="-s -w" package number
  number=${version#v1.}
  number=${number%%.*}
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$number"
    flags+=" -X $package.gitTreeState=archive -X $package.gitCommit=$version -X $package.buildDate=1970-01-01T00:00:00Z"
  done
  printf '%s' "$flags"
}

# module_source PATH VERSION: the folder of a module's source in the module cache; it is put there first, verified by the checksum
# database as every module.
module_source() {
  local folder
  folder=$(cd "${TMPDIR:-/tmp}" && go mod download -json "$1@$2" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [[ -n $folder ]] && printf '%s' "$folder"
}

# module_requires PATH VERSION: the requirements of a release as a module of another name needs them. Kubernetes' own go.mod points
# its staging modules at folders of its source tree; here each has its published version.
module_requires() {
  local path=$1 version=$2 file
  file=$(module_source "$path" "$version")/go.mod
  sed -n '/^go [0-9]/p; /^godebug /p; /^godebug (/,/^)/p' "$file" | awk '!seen[$0]++'
  printf '\nrequire %s %s\n\n' "$path" "$version"
  sed -n '/^require (/,/^)/p' "$file" | sed "s#^\(\tk8s.io/[a-z-]*\) v0.0.0\$#\1 v0.${version#v1.}#"
  printf '\nreplace (\n'
  sed -n "s#^\t\(k8s.io/[a-z-]*\) => ./staging/.*#\t\1 => \1 v0.${version#v1.}#p" "$file"
  printf ')\n'
}

# released_module PATH VERSION NAME PACKAGE…: sets module to a folder from which packages of any release can be built: its go.mod has
# the requirements of that release, its go.sum is the release's own, and what that lacks (the module itself and Kubernetes' staging
# modules) is added by the go command after the checksum database has confirmed it. files, an array, are laid into it. Made once, and kept.
files=()
released_module() {
  local path=$1 version=$2 name=$3 part source
  shift 3
  module=$cache_dir/module/$name-$version
  ((${#files[@]} == 0)) || cmp -s "${files[0]}" "$module/${files[0]##*/}" || rm -rf "$module"
  [[ -f $module/go.sum ]] && return
  source=$(module_source "$path" "$version") ||
    die "there is no ${path##*/} $version, or the Go module proxy does not serve it" "name another release; 'go list -m -versions $path' lists some of those that are served"
  mkdir -p "$cache_dir/module"
  find "$cache_dir/module" -maxdepth 1 -name '*.part.*' -mmin +1440 -exec rm -rf {} +
  part=$module.part.$$
  mkdir -p "$part"
  { printf 'module github.com/svclab/svclab/scripts/%s\n\n' "$name" && module_requires "$path" "$version"; } >"$part/go.mod"
  cp "$source/go.sum" "$part/go.sum"
  chmod u+w "$part/go.sum"
  ((${#files[@]} == 0)) || cp "${files[@]}" "$part/"
  heartbeat "verify the modules of $name $version" "$logs/module-$name.log" go -C "$part" list -mod=mod -deps "$@" ||
    die "the modules of ${path##*/} $version could not be read and verified" "see above; GONOSUMDB and GOFLAGS=-insecure are not needed and not used"
  mv "$part" "$module"
}

# binaries COMPONENT TARGET [FLAG…]: builds a component's commands once per content; sets built to their folder. COMPONENT is a name
# in components/, or a folder.
binaries() { compiled build "$@"; }

# test_binary COMPONENT TARGET [FLAG…]: the same for the test program of a package.
test_binary() { compiled test "$@" -c; }

compiled() {
  local verb=$1 component=${2##*/} folder=$components/$2 target=$3 key inputs
  [[ $2 != /* ]] || folder=$2
  shift 3
  go_version=${go_version:-$(go env GOVERSION GOARCH | tr '\n' ' ')}
  inputs=("$folder"/*)
  [[ $component != kubernetes-* && $component != coredns-* ]] || inputs+=("$components"/programs/*/*.go)
  key=$(hash_of "${inputs[@]}" "$target" "$*" "${CGO_ENABLED:-0}" "$go_version")
  built=$cache_dir/bin/$component-$key
  [[ -d $built ]] && return
  # a lock for each component: two that build different things need not wait for each other
  mkdir -p "$cache_dir/bin"
  if have flock; then
    exec 6>"$cache_dir/bin/$component.lock"
    flock 6
  fi
  if [[ ! -d $built ]]; then
    find "$cache_dir/bin" -maxdepth 1 -name '*.part.*' -mmin +1440 -exec rm -rf {} +
    mkdir -p "$built.part.$$"
    # the compiler and the linker use a fifth less time when they collect garbage less often
    GOGC=${GOGC:-400} CGO_ENABLED=${CGO_ENABLED:-0} heartbeat "build $component" "$logs/build-$component.log" \
      go -C "$folder" "$verb" "$@" -o "$built.part.$$/" "$target" || die "building $component failed" "mend what the log names, then run this again"
    mv "$built.part.$$" "$built"
  fi
  exec 6>&-
}
