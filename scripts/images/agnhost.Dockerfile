# agnhost with the tools that the published image has: upstream's own Service specs shell into it for nc, curl and dig.
ARG ROOTFS
FROM $ROOTFS
COPY agnhost /agnhost
COPY porter/ /
RUN ln -s /agnhost /agnhost-2 && mkdir -p /uploads \
    && for tool in nslookup wget; do command -v "$tool" >/dev/null || ln -s /usr/bin/busybox "/usr/local/bin/$tool"; done \
    && groupadd -g 50000 group-defined-in-image && useradd -u 1000 -m -G group-defined-in-image user-defined-in-image
ENTRYPOINT ["/agnhost"]
CMD ["pause"]
