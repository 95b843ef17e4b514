#!/usr/bin/env bash
# Finds a Docker engine that can run privileged containers, or starts one of svclab's own.
#
# usage: scripts/engine.sh COMMAND
#   up      make sure there is an engine; print DOCKER_HOST=… when it is not the ambient one
#   env     print DOCKER_HOST=… of the engine that is in use, without starting any
#   status  say in a line which engine is in use
#   down    stop svclab's own engine, and no other, unless somebody uses a cluster in it
#
# The engine that is there is used if a privileged container starts under it. Otherwise, on Linux as root, a private
# engine is run: own socket, data root, pid file and log under SVCLAB_ENGINE_HOME (/var/lib/svclab) and
# /run/svclab. SVCLAB_ENGINE=private never looks at the ambient one. The private engine changes neither the packet filter
# nor IP forwarding; down removes its bridges and restores the kernel settings that it and its containers changed.
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

home=${SVCLAB_ENGINE_HOME:-/var/lib/svclab}
run=${SVCLAB_ENGINE_RUN:-/run/svclab}
socket=unix://$run/docker.sock
pid_file=$run/docker.pid
log=$home/dockerd.log
before=$run/before # what was before the engine started, as lines "NAME VALUE"

answers() { DOCKER_HOST=${1:-} timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# Prints what the docker command here reaches if that is no Docker engine.
not_docker() {
  local said
  said=$(timeout 20 docker --version 2>/dev/null; timeout 20 docker version --format '{{json .Server.Components}}' 2>/dev/null) || true
  case $said in *[Pp]odman*) echo Podman ;; *nerdctl*) echo nerdctl ;; esac
}

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
# single static program that does nothing but end. Its system may differ from this machine's.
starts_privileged() {
  local host=$1 program image
  program=$cache_dir/bin/svclab-runc-$(DOCKER_HOST=$host timeout 20 docker version --format '{{.Server.Os}}-{{.Server.Arch}}')
  [[ $program == */svclab-runc-linux-* ]] || die "the Docker engine runs containers of another system than Linux: ${program##*/svclab-runc-}" "switch it to Linux containers"
  runtime_program "$program" "${program##*-}"
  image=svclab/privileged-test:$(<"$program.stamp")
  if ! DOCKER_HOST=$host timeout 20 docker image inspect "$image" >/dev/null 2>&1; then
    tar -C "${program%/*}" -cf - "${program##*/}" | DOCKER_HOST=$host timeout 60 docker import - "$image" >/dev/null || die "the Docker engine cannot import an image" "see above"
  fi
  said=$(DOCKER_HOST=$host timeout 60 docker run --rm --privileged --network none "$image" "/${program##*/}" self-test 2>&1) && [[ ${said##*$'\n'} == privileged ]]
}

# runtime_program TARGET ARCHITECTURE: builds the capability-aware runtime for Linux, if its source changed.
runtime_program() {
  local target=$1 stamp source=$scripts_dir/oci-runtime
  stamp=$(hash_of "$source/main.go" "$source/args.go" "$source/host.go")
  [[ -x $target && -r $target.stamp && $(<"$target.stamp") == "$stamp" ]] && return
  have go || die "Go is needed to build svclab's container runtime" "install Go 1.26 or newer"
  mkdir -p "${target%/*}"
  (cd "$source" && CGO_ENABLED=0 GOOS=linux GOARCH=$2 go build -ldflags "-s -w" -o "$target.new.$$" .) ||
    die "building svclab's container runtime failed" "see above"
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
  have dockerd && have runc && have containerd && have iptables && have ip && return
  if ! have apt-get; then
    die "there is no Docker engine" "install Docker (https://docs.docker.com/engine/install/) and start it, then run this again"
  fi
  say "installing Docker from Debian; its own service is neither started nor enabled (systemctl enable --now docker does that)"
  heartbeat "apt-get update" "$home/apt.log" apt-get update
  local policy=/usr/sbin/policy-rc.d unit units=()
  for unit in docker.service docker.socket containerd.service; do
    if [[ ! -e /lib/systemd/system/$unit ]]; then units+=("$unit"); fi
  done
  # Debian's way to install a service without starting it
  if [[ ! -e $policy ]]; then
    at_exit rm -f "$policy"
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  heartbeat "apt-get install docker.io" "$home/apt.log" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker.io iptables iproute2
  if ((${#units[@]})) && have systemctl; then systemctl --quiet disable "${units[@]}"; fi
}

start_private() {
  local began=$SECONDS args=() pid attempts=1
  mkdir -p "$home" "$run"
  lock_engine
  if our_pid >/dev/null && answers "$socket"; then return; fi
  need_space 12 "$home"
  install_docker
  # Without rules and forwarding of its own: nodes reach each other on their bridge, the host reaches them by its own
  # addresses there and by docker-proxy, and nothing that a container sends leaves the machine.
  args=(--host="$socket" --data-root="$home/docker" --exec-root="$run/docker" --pidfile="$pid_file" --bridge=none
    --iptables=false --ip6tables=false --ip-forward=false
    --log-level=warn --live-restore=false --userland-proxy-path="$(command -v docker-proxy || echo /usr/sbin/docker-proxy)")
  if lacks_capabilities; then
    runtime_program "$home/bin/svclab-runc" "$(go env GOHOSTARCH)"
    args+=(--add-runtime="svclab-runc=$home/bin/svclab-runc" --default-runtime=svclab-runc)
  fi
  if pid=$(our_pid); then
    say "svclab's engine (pid $pid) does not answer; stopping it first"
    end_engine "$pid"
  fi
  record_settings
  raise_inotify
  bridged_rule --insert
  launch "${args[@]}"
  until answers "$socket"; do
    if ! kill -0 "$pid" 2>/dev/null; then
      # after an engine that was killed, its containerd has much to clean, and may take longer than the engine waits
      if ((attempts++ < 2)); then
        launch "${args[@]}"
        continue
      fi
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
  starts_privileged "$socket" || die "svclab's engine cannot start a privileged container: $said" "see $log; a container host must allow CAP_SYS_ADMIN and mounts"
  say "started svclab's own Docker engine in $((SECONDS - began)) s (log: $log)"
}

# launch ARGUMENT…: starts dockerd and sets pid.
launch() {
  rm -f "$pid_file"
  (
    # the engine outlives us: what our caller has open, a lock for one, is not to stay open with it
    for fd in /proc/self/fd/*; do if ((${fd##*/} > 2)); then eval "exec ${fd##*/}>&-"; fi; done
    exec setsid dockerd "$@" >>"$log" 2>&1 </dev/null
  ) &
  pid=$!
}

lock_engine() {
  exec 8>"$run/engine.lock"
  flock -w 300 8 || die "another svclab has been starting or stopping the engine for 5 minutes" "see $log"
}

# bridged_rule --insert|--delete: rules that accept frames from one container to another on one of Docker's bridges, with their
# addresses as they are. Needed only where the kernel shows bridged frames to the host's chains and these have rules: a
# MASQUERADE that another engine left for a network of the same range would rewrite the sources. They have our mark.
bridged_rule() {
  local iptables table mark=(-m physdev --physdev-is-bridged -m comment --comment "svclab: $run" -j ACCEPT) rule
  for iptables in iptables ip6tables; do
    for table in filter nat; do
      rule=(FORWARD -i br-+ "${mark[@]}")
      [[ $table == filter ]] || rule=(POSTROUTING -o br-+ "${mark[@]}")
      if "$iptables" --wait --table "$table" --check "${rule[@]}" 2>/dev/null; then
        if [[ $1 == --delete ]]; then "$iptables" --wait --table "$table" --delete "${rule[@]}"; fi
      elif [[ $1 == --insert && $(cat "/proc/sys/net/bridge/bridge-nf-call-$iptables" 2>/dev/null) == 1 &&
        $("$iptables" --wait --table "$table" --list-rules "${rule[0]}") != "-P ${rule[0]} ACCEPT" ]]; then
        "$iptables" --wait --table "$table" --insert "${rule[@]}"
        say "added a rule to $iptables' chain ${rule[0]}, until the engine stops: ${rule[*]:1}"
      fi
    done
  done
}

# The settings of the whole kernel that the engine, and kubelet and systemd in privileged containers, write: "NAME VALUE".
written_settings() {
  cat <<'END'
fs/file-max 9223372036854775807
fs/inotify/max_user_instances 1024
fs/nr_open 1073741816
kernel/keys/root_maxbytes 25000000
kernel/keys/root_maxkeys 1000000
kernel/panic 10
kernel/panic_on_oops 1
vm/overcommit_memory 1
vm/panic_on_oom 0
END
}

# Whether an engine of ours was started since the machine was, and not stopped by down.
was_started() { grep -qsxF "boot $(</proc/sys/kernel/random/boot_id)" "$before"; }

# Keeps what the settings are, unless that is known: an engine that was killed may have left its own.
record_settings() {
  local name
  if was_started; then return; fi
  {
    printf 'boot %s\n' "$(</proc/sys/kernel/random/boot_id)"
    if mountpoint -q "$home/docker"; then echo "mounted yes"; fi
    while read -r name _; do
      if [[ -r /proc/sys/$name ]]; then printf '%s %s\n' "$name" "$(<"/proc/sys/$name")"; fi
    done < <(written_settings)
  } >"$before.new"
  mv "$before.new" "$before"
}

# Restores each setting that still has the value that was written, unless another engine needs it.
restore_settings() {
  local name written was
  was_started || return 0
  if other_engines; then
    say "another Docker engine runs, which needs the kernel settings: they stay as they are"
  else
    while read -r name written; do
      was=$(sed -n "s#^$name ##p" "$before")
      if [[ -n $was && $was != "$written" && $(<"/proc/sys/$name") == "$written" ]]; then
        echo "$was" >"/proc/sys/$name"
        say "restored ${name//\//.} to $was"
      fi
    done < <(written_settings)
  fi
  rm -f "$before"
}

# Whether a dockerd runs on this kernel, as far as is visible here.
other_engines() {
  local name
  for name in /proc/[0-9]*/comm; do
    if [[ $(cat "$name" 2>/dev/null) == dockerd ]]; then return 0; fi
  done
  return 1
}

# A few kubelets and containerds on one machine run into this limit first, and then pods fail with "too many open files":
# https://kind.sigs.k8s.io/docs/user/known-issues/. Raised until the engine stops, never lowered.
raise_inotify() {
  local setting=/proc/sys/fs/inotify/max_user_instances
  if [[ -w $setting ]] && (($(<$setting) < 512)); then
    echo 1024 >$setting
    say "raised fs.inotify.max_user_instances to 1024 until the engine stops"
  fi
}

# Takes the locks of the engine's clusters and of image builds until this script ends; see e2e/cluster/lock.go.
claim_engine() {
  local id lock descriptor
  id=$(DOCKER_HOST=$socket timeout 20 docker info --format '{{.ID}}' 2>/dev/null) || id=
  id=${id//[^A-Za-z0-9-]/-}
  # shellcheck disable=SC2231 # an engine that does not answer has any ID
  for lock in "$run"/cluster-*@${id:-*}.lock "$cache_dir/build.lock"; do
    [[ -f $lock ]] || continue
    exec {descriptor}<"$lock"
    flock --nonblock "$descriptor" && continue
    if [[ $lock == "$cache_dir/build.lock" ]]; then die "images are being built in svclab's engine" "wait until that ends, or stop it"; fi
    lock=${lock##*/cluster-}
    die "cluster ${lock%@*} in svclab's engine is in use by $(living <"/proc/self/fd/$descriptor")" "wait until that ends, or stop it"
  done
}

# Of the lines "process PID …" on stdin, prints the last one whose process is alive, or the last one.
living() {
  local word pid rest found=
  while read -r word pid rest; do
    if [[ -z $found ]] || kill -0 "$pid" 2>/dev/null; then found="$word $pid $rest"; fi
  done
  printf '%s' "${found:-another process}"
}

stop_private() {
  local pid bridge bridges
  if ! our_pid >/dev/null && ! was_started; then
    say "svclab's own engine is not running"
    return
  fi
  lock_engine
  # an engine that was killed just now is there for a moment, and does not answer
  for _ in $(seq 50); do
    if ! our_pid >/dev/null || answers "$socket"; then break; fi
    sleep 0.1
  done
  if ! pid=$(our_pid); then
    # Killed: its containers, their supervisors and its bridges live on. The engine itself knows best how to end them.
    say "svclab's own engine was killed; starting it once more, to end what it left"
    start_private
    pid=$(our_pid)
  fi
  thaw
  bridges=$(DOCKER_HOST=$socket timeout 20 docker network ls --quiet --filter driver=bridge |
    DOCKER_HOST=$socket xargs -r docker network inspect --format '{{or (index .Options "com.docker.network.bridge.name") (printf "br-%.12s" .Id)}}') ||
    die "svclab's engine (pid $pid) does not say which networks it has" "see $log, then: kill -9 $pid and run this again"
  end_engine "$pid"
  # the engine makes them again when it starts, as after a reboot
  for bridge in $bridges; do
    if ip link show dev "$bridge" type bridge >/dev/null 2>&1; then ip link delete "$bridge"; fi
  done
  bridged_rule --delete
  # the engine mounts its folder onto itself, and leaves that when it was killed in between
  if was_started && mountpoint -q "$home/docker" && ! grep -qx "mounted yes" "$before"; then umount "$home/docker"; fi
  restore_settings
  say "stopped svclab's own engine"
}

# On cgroup v1, a container that is killed while a runc in it holds a pod frozen never ends, and the engine cannot remove it.
thaw() {
  local id state
  for id in $(DOCKER_HOST=$socket timeout 20 docker ps --quiet --no-trunc); do
    [[ -d /sys/fs/cgroup/freezer/docker/$id ]] || continue
    while read -r state; do
      echo THAWED >"$state"
    done < <(grep -rlx --include=freezer.state FROZEN "/sys/fs/cgroup/freezer/docker/$id")
  done
}

end_engine() {
  local pid=$1
  kill "$pid"
  for _ in $(seq 300); do
    [[ -d /proc/$pid ]] || return 0
    sleep 0.1
  done
  die "svclab's engine (pid $pid) has not ended after 30 s" "see $log, then: kill -9 $pid and run this again"
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
    said=
    if [[ ${SVCLAB_ENGINE:-} != private ]] && ! our_pid >/dev/null && other=$(not_docker) && [[ -n $other ]]; then
      die "the docker command here reaches $other, which svclab does not support" "install Docker (https://docs.docker.com/engine/install/), or name the socket of a Docker engine with DOCKER_HOST"
    fi
    if current=$(in_use); then
      if our_pid >/dev/null || starts_privileged "${DOCKER_HOST:-}"; then
        printf '%s' "${current:+$current
}"
        exit 0
      fi
      problem="the Docker engine here does not start privileged containers, which kind's nodes are ($said)"
    else
      problem="no Docker engine answers"
    fi
    [[ $(uname -s) == Linux ]] || die "$problem" "start Docker Desktop, colima or another Docker engine with Linux containers, then run this again; svclab runs its own only on Linux"
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
  down)
    claim_engine
    stop_private
    ;;
  *)
    sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
