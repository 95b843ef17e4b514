# A kind node without a registry: Debian's user space, kind's own files, what was built from Go modules. The images
# it holds are put into containerd's store by images.sh afterwards, as that needs a running containerd.
ARG ROOTFS
FROM $ROOTFS
COPY kind/ /
COPY bin/ /usr/local/bin/
COPY kubernetes/ /usr/bin/
COPY cni/ /opt/cni/bin/
COPY svclab/ /
RUN chmod 755 /usr/local/bin/entrypoint /kind /kind/bin /kind/bin/*.sh \
    && find /usr/lib/systemd/system/sysinit.target.wants/ -name systemd-tmpfiles-setup.service -delete \
    && rm -f /usr/lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* \
      /usr/lib/systemd/system/local-fs.target.wants/* /usr/lib/systemd/system/sockets.target.wants/*udev* \
      /usr/lib/systemd/system/sockets.target.wants/*initctl* /usr/lib/systemd/system/basic.target.wants/* \
    && echo ReadKMsg=no >>/etc/systemd/journald.conf \
    && ln -sf /usr/lib/systemd/systemd /sbin/init \
    && systemctl enable kubelet.service containerd.service undo-mount-hacks.service \
    && systemctl mask systemd-binfmt.service \
    && mkdir -p /etc/kubernetes/manifests \
    && ctr oci spec | jq 'del(.process.rlimits)' >/etc/containerd/cri-base.json
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
