#!/usr/bin/env bash
# Makes sure that the images a cluster needs are in the engine, and says which they are.
#
# usage: [KUBERNETES=1.37] [IMAGES=auto|pull|build] [FRESH=1] scripts/images.sh
#
# IMAGES=pull   takes the published images, pinned by digest in versions.env
# IMAGES=build  builds everything from Go modules and Debian packages; nothing is pulled
# IMAGES=auto   pulls when the registries answer, builds otherwise (the default)
# IMAGE_MIRROR  a registry to pull from instead, as HOST:PORT[/PREFIX]. It must have the images of the pinned digests;
#               with IMAGE_MIRROR_BY=tag it may have others of the same tags, and svclab does not know what is in them
# FRESH=1       builds with Debian's packages of today; without it, those of the last build are used again
#
# What is built is cached by the content of its inputs; an interrupted build goes on where it stopped. Prints
# KEY=VALUE lines on stdout: what was chosen; all else goes to stderr.
set -o errexit -o nounset -o pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

default_minor=$(setting KUBERNETES_DEFAULT)
choose_minor
mode=${IMAGES:-auto}
agnhost_name=$(setting PULL_AGNHOST)
agnhost_name=${agnhost_name%@*}
case $mode in auto | pull | build) ;; *) die "IMAGES=$mode is unknown" "use IMAGES=auto, pull or build" ;; esac
have docker || die "the docker command is missing" "make doctor"
timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1 || die "no Docker engine answers at ${DOCKER_HOST:-its default socket}" "make engine-up, then export the DOCKER_HOST it prints"

# --- pull ----------------------------------------------------------------------------------------------------

pull_all() {
  local variable reference local_name node=PULL_NODE_${minor/./_} loads=()
  for variable in "$node" PULL_COREDNS PULL_AGNHOST PULL_METALLB_CONTROLLER PULL_METALLB_SPEAKER; do
    reference=$(setting "$variable")
    local_name=svclab/${IMAGE_MIRROR:+mirrored-}pulled-$(basename "${reference%%@*}")
    pull_one "$reference" "$local_name" || die "${reference%@*} could not be pulled" "see above; without a registry use IMAGES=build; if a mirror has other images of the same tags, IMAGE_MIRROR_BY=tag takes them"
    case $variable in
      "$node") node_image=$local_name ;;
      PULL_COREDNS) coredns_image=$local_name ;;
      *) loads+=("$local_name=${reference%@*}") ;;
    esac
  done
  load_images=${loads[*]}
}

# Pulls REPOSITORY:TAG@DIGEST and gives it a name of our own, so that no tag of the user's is moved.
pull_one() {
  local reference=$1 local_name=$2 source=$1
  source=${reference%%:*}@${reference##*@}
  if [[ ${IMAGE_MIRROR_BY:-digest} == tag ]]; then
    source=${reference%@*}
  else
    docker image inspect "$local_name" --format '{{join .RepoDigests " "}}' 2>/dev/null | grep -qF "${reference##*@}" && return
  fi
  [[ -z ${IMAGE_MIRROR:-} ]] || source=$IMAGE_MIRROR/${source#*/}
  heartbeat "pull ${reference%@*}" "$logs/pull.log" docker pull "$source" || return
  docker tag "$source" "$local_name"
}

# Whether every registry that would be pulled from answers at all.
registries_answer() {
  local host
  [[ -n ${IMAGE_MIRROR:-} ]] && return
  have curl || return 1
  while read -r host; do
    [[ $host == docker.io ]] && host=registry-1.docker.io
    curl --silent --output /dev/null --max-time 5 "https://$host/v2/" </dev/null || return 1
  done < <(sed -n 's/^PULL_[A-Z0-9_]*=\([^/]*\).*/\1/p' "$scripts_dir/versions.env" | sort -u)
}

# --- build ---------------------------------------------------------------------------------------------------

# node_programs: the programs of a node that are not Kubernetes', and MetalLB; sets bin_….
node_programs() {
  local containerd
  containerd=$(pinned containerd github.com/containerd/containerd/v2)
  binaries metallb tool -ldflags "-s -w"
  bin_metallb=$built
  binaries containerd tool -tags "no_btrfs no_zfs no_devmapper" -ldflags "-s -w -X github.com/containerd/containerd/v2/version.Version=$containerd"
  bin_containerd=$built
  binaries cni tool -ldflags "-s -w"
  bin_cni=$built
}

build_binaries() {
  binaries "kubernetes-$minor" tool -ldflags "$(kubernetes_ldflags "$(kubernetes_version)")"
  bin_kubernetes=$built bin_coredns=$built bin_agnhost=$built
  node_programs
  if [[ $coredns_component == coredns-* ]]; then
    binaries "$coredns_component" tool -ldflags "-s -w"
    bin_coredns=$built
  fi
  [[ $minor != "$default_minor" ]] || return 0
  # the agnhost that svclab's scenarios are written for is the default minor's, whichever Kubernetes is under test
  binaries "kubernetes-$default_minor" k8s.io/kubernetes/test/images/agnhost -ldflags "-s -w"
  bin_agnhost=$built
}

# rootfs: Debian's user space, imported as an image; sets rootfs_image. Nodes, kube-proxy and agnhost all have this one, so
# that it is bootstrapped, stored and unpacked once.
rootfs() {
  local packages suite key tar
  # shellcheck disable=SC2016 # mmdebstrap's hook expands it
  local slim='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/etc/resolv.conf "$1"/etc/hostname'
  packages=$(setting DEBIAN_PACKAGES)
  suite=$(setting DEBIAN_SUITE)
  key=$(hash_of "$packages" "$suite" rootfs-2 ${fresh:+"$fresh"})
  rootfs_image=svclab/rootfs:$key
  docker image inspect "$rootfs_image" >/dev/null 2>&1 && return
  tar=$cache_dir/rootfs/$key.tar
  if [[ ! -f $tar ]]; then
    mkdir -p "${tar%/*}"
    find "${tar%/*}" -name '*.part.*' -mmin +1440 -delete
    heartbeat "Debian $suite" "$logs/rootfs.log" mmdebstrap --format=tar --variant=minbase --include="$packages" \
      --aptopt='APT::Sandbox::User "root"' --dpkgopt=path-exclude=/usr/share/man/* --dpkgopt=path-exclude=/usr/share/doc/* \
      --dpkgopt=path-exclude=/usr/share/locale/* --dpkgopt=force-unsafe-io --customize-hook="$slim" \
      "$suite" "$tar.part.$$" || die "building a Debian $suite root file system failed" "the end of the log is above"
    mv "$tar.part.$$" "$tar"
  fi
  docker import "$tar" "$rootfs_image" >/dev/null
}

# image NAME KEY FOLDER [ARG…]: builds FOLDER/Dockerfile as svclab/NAME:KEY, with the builder that needs no image of its own.
image() {
  local name=svclab/$1:$2 folder=$3
  shift 3
  DOCKER_BUILDKIT=0 heartbeat "image $name" "$logs/image.log" docker build --network none --tag "$name" "$@" "$folder" || die "building the image $name failed" "the end of the log is above"
}

# program_image NAME PROGRAM BASE [INSTRUCTION] [ALIAS…]: an image with a program in /, which it runs, under further names too.
# Sets image_name. The same program is the same layer on every base, and so is stored once: nothing in it has a time.
program_image() {
  local name=$1 program=$2 base=$3 instruction=${4:-} key work alias
  key=$(hash_of "$program" "${program##*/}" "${@:3}" 2)
  image_name=svclab/$name:$key
  docker image inspect "$image_name" >/dev/null 2>&1 && return
  workspace
  mkdir "$work/root"
  cp "$program" "$work/root/"
  for alias in "${@:5}"; do ln -s "${program##*/}" "$work/root/$alias"; done
  touch --no-dereference --date=@0 "$work"/root/*
  printf '%s\n' "FROM $base" "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/" "COPY root/ /" "$instruction" \
    "ENTRYPOINT [\"/${program##*/}\"]" >"$work/Dockerfile"
  image "$name" "$key" "$work"
  rm -rf "$work"
}

install_build_tools() {
  local missing=()
  have mmdebstrap || missing+=(mmdebstrap)
  [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || missing+=(debian-archive-keyring)
  ((${#missing[@]})) || return 0
  if [[ $(id -u) != 0 ]] || ! have apt-get; then
    die "building the images needs: ${missing[*]}" "install them (on Debian: sudo apt-get install ${missing[*]}), or use IMAGES=pull with a network"
  fi
  heartbeat "apt-get update" "$logs/apt.log" apt-get update
  heartbeat "apt-get install ${missing[*]}" "$logs/apt.log" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
}

# What decides the built node image. Everything under it is pinned by these. The recipe stands for what this script puts
# together: whoever changes that gives it another value.
recipe=3
node_key() {
  local files=("$scripts_dir"/images/* "$scripts_dir/versions.env" "$components"/programs/*/*.go "$recipe") component
  for component in "kubernetes-$minor" "kubernetes-$default_minor" containerd cni metallb kind; do
    files+=("$components/$component"/*)
  done
  if [[ $coredns_component == coredns-* ]]; then files+=("$components/$coredns_component"/*); fi
  hash_of "${files[@]}" "$(kubernetes_ldflags "$(kubernetes_version)")" "$go_version" ${fresh:+"$fresh"}
}

# Sets fresh to the day of Debian's packages that are used: today's with FRESH=1, else that of the last FRESH=1; it stays
# empty where there was none.
choose_fresh() {
  local file=$cache_dir/rootfs/fresh
  if [[ -n ${FRESH:-} ]]; then
    mkdir -p "${file%/*}"
    date -u +%F >"$file"
  fi
  fresh=
  [[ ! -r $file ]] || fresh=$(<"$file")
}

# What is built runs in the engine, and Debian's packages are those of this machine's system and architecture.
same_machine() {
  local engine here
  engine=$(docker version --format '{{.Server.Os}}/{{.Server.Arch}}')
  here=$(go env GOHOSTOS)/$(go env GOHOSTARCH)
  [[ $here == linux/* && $here == "$engine" ]] ||
    die "the images can be built only on the engine's own system: it is $engine, and this machine is $here" "use IMAGES=pull, which needs a registry (IMAGE_MIRROR=… names one of your own)"
}

build_all() {
  local key
  have go || die "Go is missing" "install Go 1.26 or newer (https://go.dev/dl), or use IMAGES=pull"
  same_machine
  go_version=$(go env GOVERSION GOARCH | tr '\n' ' ')
  choose_fresh
  # CoreDNS is built with Kubernetes where it can be, see pin-kubernetes.sh
  coredns_component=coredns-$minor
  [[ -d $components/$coredns_component ]] || coredns_component=kubernetes-$minor
  key=$(node_key)
  node_image=svclab/node:$(kubernetes_version)-$key
  coredns_image=svclab/coredns-for:$key
  load_images=
  if docker image inspect "$node_image" "$coredns_image" >/dev/null 2>&1; then return; fi
  lock build "builds images"
  if docker image inspect "$node_image" "$coredns_image" >/dev/null 2>&1; then return; fi
  need_space 20 "$cache_dir"
  install_build_tools
  say "building the images for Kubernetes $(kubernetes_version) (about 12 minutes on 2 cores the first time; logs in $logs)"
  local began=$SECONDS debian
  # These run while Kubernetes is compiled, because downloads and the linker leave processors idle. Their status is not used:
  # bash forgets it when a later child gets the same pid. The same calls below build what is missing, or say why they cannot.
  node_programs &
  at_exit end_background $!
  rootfs &
  debian=$!
  at_exit end_background "$debian"
  build_binaries
  wait "$debian" 2>/dev/null || true
  build_images
  preload
  docker tag "$coredns_built" "$coredns_image"
  say "images built in $((SECONDS - began)) s"
}

# Sets preloaded to NAME-HERE=NAME-IN-THE-CLUSTER for all that a node holds.
build_images() {
  local version tags name kube=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy)
  version=$(kubernetes_version)
  tags=$(bash -c 'exec -a kubeadm "$@"' _ "$bin_kubernetes/kubernetes" config images list --kubernetes-version "$version" 2>/dev/null)
  as_kubeadm_asks "$tags" etcd "$(pinned "kubernetes-$minor" go.etcd.io/etcd/server/v3)"
  as_kubeadm_asks "$tags" coredns "$(pinned "$coredns_component" github.com/coredns/coredns)"
  preloaded=()
  program_image kubernetes "$bin_kubernetes/kubernetes" scratch "" "${kube[@]}"
  for name in "${kube[@]:0:3}"; do preloaded+=("$image_name=registry.k8s.io/$name:$version"); done
  rootfs
  # kube-proxy needs Debian's nft and iptables, and kubeadm's manifest names its path
  program_image kube-proxy "$bin_kubernetes/kubernetes" "$rootfs_image" "RUN ln -s /kube-proxy /usr/local/bin/kube-proxy" "${kube[@]}"
  preloaded+=("$image_name=registry.k8s.io/kube-proxy:$version")
  program_image etcd "$bin_kubernetes/server" scratch "" etcd
  preloaded+=("$image_name=$(grep /etcd: <<<"$tags")")
  program_image coredns "$bin_coredns/coredns" scratch
  coredns_built=$image_name
  preloaded+=("$image_name=$(grep /coredns: <<<"$tags")")
  program_image pause "$bin_kubernetes/pause" scratch
  pause_name=$(grep /pause: <<<"$tags")
  preloaded+=("$image_name=$pause_name")
  for name in controller speaker; do
    program_image "metallb-$name" "$bin_metallb/$name" scratch
    preloaded+=("$image_name=quay.io/metallb/$name:$(pinned metallb go.universe.tf/metallb)")
  done
  agnhost_image_build "$default_minor" "$bin_agnhost"
  preloaded+=("$image_name=$agnhost_name")
  if [[ $minor != "$default_minor" ]]; then
    # the one that this minor's own end-to-end tests ask for, see upstream.sh
    agnhost_image_build "$minor" "$bin_kubernetes"
    preloaded+=("$image_name=${agnhost_name%:*}:$(<"$(module_folder "kubernetes-$minor" k8s.io/kubernetes)/test/images/agnhost/VERSION")")
  fi
}

# as_kubeadm_asks IMAGES NAME VERSION: refuses to pass another version off under the tag that kubeadm asks for.
as_kubeadm_asks() {
  local tag
  tag=$(sed -n "s#.*/$2:v\{0,1\}##p" <<<"$1")
  [[ ${tag%-*} == "${3#v}" ]] || die "kubeadm $(kubernetes_version) asks for $2 $tag, and $3 is pinned" "scripts/pin-kubernetes.sh $(kubernetes_version)"
}

# agnhost_image_build MINOR FOLDER: the image of the agnhost in FOLDER, which is that minor's; sets image_name.
agnhost_image_build() {
  local minor=$1 program=$2/agnhost work key source
  rootfs
  key=$(hash_of "$rootfs_image" "$program" "$scripts_dir/images/agnhost.Dockerfile")
  image_name=svclab/agnhost:$key
  docker image inspect "$image_name" >/dev/null 2>&1 && return
  workspace
  source=$(module_folder "kubernetes-$minor" k8s.io/kubernetes)/test/images/agnhost
  mkdir "$work/porter"
  cp "$source"/porter/localhost.* "$work/porter/"
  cp "$program" "$work/"
  cp "$scripts_dir/images/agnhost.Dockerfile" "$work/Dockerfile"
  image agnhost "$key" "$work" --build-arg "ROOTFS=$rootfs_image"
  rm -rf "$work"
}

# Builds the node's base, then starts it once to put the images into its containerd.
preload() {
  local work base container name pair names=() tag=
  rootfs
  workspace
  base=svclab/node-base:${node_image##*-}
  kind_files=$(module_folder kind sigs.k8s.io/kind)/images/base/files
  mkdir -p "$work"/{kind,bin,kubernetes,cni,svclab/etc/containerd,svclab/kind}
  cp -r "$kind_files"/* "$work/kind/"
  chmod -R u+w "$work/kind"
  cp "$bin_containerd"/* "$work/bin/"
  cp "$bin_cni"/* "$work/cni/"
  cp "$bin_kubernetes/kubernetes" "$work/kubernetes/"
  for name in kubeadm kubelet kubectl; do ln -s kubernetes "$work/kubernetes/$name"; done
  cp "$scripts_dir/images/cni.conflist.template" "$work/svclab/etc/containerd/"
  kubernetes_version >"$work/svclab/kind/version"
  echo "$(kubernetes_version) ${node_image##*-}" >"$work/svclab/kind/svclab-offline"
  # crun starts and ends a container with about half the processor time of runc
  sed -e "s#sandbox_image = .*#sandbox_image = \"$pause_name\"#" -e 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' \
    -e 's/^\( *\)SystemdCgroup = true/&\n\1BinaryName = "crun"/' \
    "$kind_files/etc/containerd/config.toml" >"$work/svclab/etc/containerd/config.toml"
  cat >>"$work/svclab/etc/containerd/config.toml" <<'TOML'

[plugins."io.containerd.grpc.v1.cri".cni]
  # the pod network without kindnetd: written by containerd once the node has its pod ranges
  bin_dir = "/opt/cni/bin"
  conf_dir = "/etc/cni/net.d"
  conf_template = "/etc/containerd/cni.conflist.template"
TOML
  cp "$scripts_dir/images/node.Dockerfile" "$work/Dockerfile"
  image node-base "${node_image##*-}" "$work" --build-arg "ROOTFS=$rootfs_image"
  rm -rf "$work"

  container=svclab-preload-$$
  at_exit remove_container "$container"
  docker run --detach --privileged --network none --name "$container" --entrypoint sleep "$base" infinity >/dev/null
  docker exec --detach "$container" containerd
  for _ in $(seq 100); do
    if docker exec "$container" ctr version >/dev/null 2>&1; then break; fi
    sleep 0.2
  done
  for pair in "${preloaded[@]}"; do
    names+=("${pair%%=*}")
    tag+="ctr -n k8s.io images tag docker.io/${pair/=/ } && "
  done
  # shellcheck disable=SC2016 # the inner shell expands it
  heartbeat "put ${#names[@]} images into the node image" "$logs/preload.log" bash -c \
    'docker save "${@:2}" | docker exec -i "$1" ctr -n k8s.io images import --all-platforms --no-unpack --digests -' _ "$container" "${names[@]}" ||
    die "importing the images into the node image failed" "the end of the log is above"
  docker exec "$container" sh -c "$tag ctr -n k8s.io images rm ${names[*]/#/docker.io/}" >>"$logs/preload.log" 2>&1 ||
    die "naming the images in the node image failed" "see $logs/preload.log"
  docker exec "$container" sh -c 'kill $(pidof containerd); while pidof containerd >/dev/null; do sleep 0.1; done; rm -rf /run/containerd /run/cni-ipam-state'
  heartbeat "commit $node_image" "$logs/preload.log" docker commit --change 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]' --change 'CMD []' "$container" "$node_image" ||
    die "committing the node image failed" "the end of the log is above"
  remove_container "$container"
}

remove_container() { docker rm -f "$1" >/dev/null 2>&1 || true; }

# --- choose --------------------------------------------------------------------------------------------------

if [[ $mode == auto ]]; then
  if registries_answer; then mode=pull; else mode=build; fi
fi
mkdir -p "$cache_dir" "$logs"
case $mode in
  pull)
    pull_all
    version=$(setting "PULL_NODE_${minor/./_}")
    version=${version%@*}
    version=${version##*:}
    ;;
  build)
    build_all
    version=$(kubernetes_version)
    ;;
esac
cat <<END
IMAGES=$mode
KUBERNETES_VERSION=$version
NODE_IMAGE=$node_image
COREDNS_IMAGE=$coredns_image
AGNHOST_IMAGE=$agnhost_name
LOAD_IMAGES=$load_images
METALLB_MANIFEST=$(module_folder metallb go.universe.tf/metallb)/config/manifests/metallb-native.yaml
END
