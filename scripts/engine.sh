#!/usr/bin/env bash
# Finds a Docker engine that can run privileged containers, or starts one of svclab's own.
#
# usage: scripts/engine.sh COMMAND
#   up      make sure there is an engine; print DOCKER_HOST=… when it is not the ambient one
#   env     print DOCKER_HOST=… of the engine that is in use, without starting any
#   status  say in a line which engine is in use
#   down    stop svclab's own engine, and no other
#
# The engine that is there is used if a privileged container starts under it. Otherwise, on Linux as root, a private
# engine is run: own socket, data root, pid file and log under SVCLAB_ENGINE_HOME (/var/lib/svclab) and
# /run/svclab. SVCLAB_ENGINE=private never looks at the ambient one.
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

home=${SVCLAB_ENGINE_HOME:-/var/lib/svclab}
run=${SVCLAB_ENGINE_RUN:-/run/svclab}
socket=unix://$run/docker.sock
pid_file=$run/docker.pid
log=$home/dockerd.log

answers() { DOCKER_HOST=${1:-} timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# A private engine that we started: its pid file names a live dockerd that was given our socket.
our_pid() {
  local pid
  [[ -r $pid_file ]] || return 1
  pid=$(<"$pid_file")
  [[ -r /proc/$pid/cmdline ]] || return 1
  tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qxF -- "--host=$socket" || return 1
  printf '%s' "$pid"
}

# Whether the engine at $1 ("" for the ambient one) starts a privileged container. Needs no image: one is made of a
# single static program that does nothing but end.
starts_privileged() {
  local host=$1 program=$cache_dir/bin/svclab-runc image
  runtime_program "$program"
  image=svclab/privileged-test:$(<"$program.stamp")
  if ! DOCKER_HOST=$host timeout 20 docker image inspect "$image" >/dev/null 2>&1; then
    tar -C "$(dirname "$program")" -c "$(basename "$program")" | DOCKER_HOST=$host timeout 60 docker import - "$image" >/dev/null 2>&1 || return 1
  fi
  [[ $(DOCKER_HOST=$host timeout 60 docker run --rm --privileged --network none "$image" /svclab-runc self-test 2>&1) == privileged ]]
}

# Builds the capability-aware runtime to $1, if its source changed.
runtime_program() {
  local target=$1 stamp source=$scripts_dir/oci-runtime
  stamp=$(hash_of "$source/main.go" "$source/args.go" "$source/host.go")
  [[ -x $target && -r $target.stamp && $(<"$target.stamp") == "$stamp" ]] && return
  have go || die "Go is needed to build svclab's container runtime" "install Go 1.26 or newer"
  mkdir -p "$(dirname "$target")"
  (cd "$source" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$target.new.$$" .)
  mv -f "$target.new.$$" "$target"
  printf '%s' "$stamp" >"$target.stamp"
}

lacks_capabilities() {
  # Every capability up to the kernel's last one.
  local bounding last
  bounding=$(sed -n 's/^CapBnd:\t//p' /proc/self/status)
  last=$(</proc/sys/kernel/cap_last_cap)
  ((0x$bounding != (1 << (last + 1)) - 1))
}

install_docker() {
  have dockerd && have runc && have containerd && have iptables && return
  if ! have apt-get; then
    die "there is no Docker engine" "install Docker (https://docs.docker.com/engine/install/) and start it, then run this again"
  fi
  say "installing Docker from Debian"
  heartbeat "apt-get update" "$home/apt.log" apt-get update
  heartbeat "apt-get install docker.io" "$home/apt.log" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker.io iptables
}

start_private() {
  local began=$SECONDS args=() pid
  mkdir -p "$home" "$run"
  exec 8>"$run/engine.lock"
  flock -w 300 8 || die "another svclab has been starting the engine for 5 minutes" "see $log"
  if our_pid >/dev/null && answers "$socket"; then return; fi
  need_space 12 "$home"
  install_docker
  args=(--host="$socket" --data-root="$home/docker" --exec-root="$run/docker" --pidfile="$pid_file" --bridge=none
    --log-level=warn --live-restore=false --userland-proxy-path="$(command -v docker-proxy || echo /usr/sbin/docker-proxy)")
  if lacks_capabilities; then
    runtime_program "$home/bin/svclab-runc"
    args+=(--add-runtime="svclab-runc=$home/bin/svclab-runc" --default-runtime=svclab-runc)
  fi
  if pid=$(our_pid); then
    say "svclab's engine (pid $pid) does not answer; stopping it first"
    stop_private
  fi
  raise_inotify
  rm -f "$pid_file"
  (
    # the engine outlives us: what our caller has open, a lock for one, is not to stay open with it
    for fd in /proc/self/fd/*; do if ((${fd##*/} > 2)); then eval "exec ${fd##*/}>&-"; fi; done
    exec setsid dockerd "${args[@]}" >>"$log" 2>&1 </dev/null
  ) &
  pid=$!
  until answers "$socket"; do
    if ! kill -0 "$pid" 2>/dev/null; then
      tail -n 15 "$log" >&2
      die "svclab's Docker engine ended at once; the end of $log is above" "mend what it names, then run this again"
    fi
    if ((SECONDS - began > 90)); then
      tail -n 15 "$log" >&2
      kill "$pid"
      die "svclab's Docker engine does not answer after 90 s; the end of $log is above" "mend what it names, then run this again"
    fi
    sleep 0.3
  done
  starts_privileged "$socket" || die "svclab's engine cannot start a privileged container" "see $log; a container host must allow CAP_SYS_ADMIN and mounts"
  say "started svclab's own Docker engine in $((SECONDS - began)) s (log: $log)"
}

# A few kubelets and containerds on one machine run into this limit first, and then pods fail with "too many open files":
# https://kind.sigs.k8s.io/docs/user/known-issues/. Raised until the next boot, never lowered.
raise_inotify() {
  local setting=/proc/sys/fs/inotify/max_user_instances
  if [[ -w $setting ]] && (($(<$setting) < 512)); then
    echo 1024 >$setting
    say "raised fs.inotify.max_user_instances to 1024 until the next boot"
  fi
}

stop_private() {
  local pid
  if ! pid=$(our_pid); then
    say "svclab's own engine is not running"
    return
  fi
  kill "$pid"
  for _ in $(seq 300); do
    [[ -d /proc/$pid ]] || break
    sleep 0.1
  done
  if [[ -d /proc/$pid ]]; then die "svclab's engine (pid $pid) has not ended after 30 s" "see $log, then: kill -9 $pid"; fi
  say "stopped svclab's own engine"
}

# Prints the DOCKER_HOST of the engine in use: a private one that runs goes first, then the ambient one.
in_use() {
  if our_pid >/dev/null && answers "$socket"; then
    printf 'DOCKER_HOST=%s\n' "$socket"
  elif [[ ${SVCLAB_ENGINE:-} != private ]] && have docker && answers "${DOCKER_HOST:-}"; then
    printf '%s' "${DOCKER_HOST:+DOCKER_HOST=$DOCKER_HOST
}"
  else
    return 1
  fi
}

case ${1:-} in
  up)
    if current=$(in_use); then
      if our_pid >/dev/null || starts_privileged "${DOCKER_HOST:-}"; then
        printf '%s' "${current:+$current
}"
        exit 0
      fi
      problem="the Docker engine here does not start privileged containers, which kind's nodes are"
    else
      problem="no Docker engine answers"
    fi
    [[ $(uname -s) == Linux ]] || die "$problem" "start Docker Desktop (or another Docker engine), then run this again"
    [[ $(id -u) == 0 ]] || die "$problem, and svclab can run its own only as root" "start Docker and let this user reach it (docker info), or run this as root"
    start_private >&2
    printf 'DOCKER_HOST=%s\n' "$socket"
    ;;
  env) in_use || die "no engine is in use" "make engine-up" ;;
  status)
    if pid=$(our_pid) && answers "$socket"; then
      echo "svclab's own engine, pid $pid, $socket"
    elif in_use >/dev/null; then
      echo "the Docker engine that was here, ${DOCKER_HOST:-its default socket}"
    else
      die "no engine is in use" "make engine-up"
    fi
    ;;
  down) stop_private ;;
  *)
    sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
