# svclab itself, for svclab conformance in a cluster: three static programs and a folder for what they write. Without
# arguments it is a conformance image for hydrophone and Sonobuoy. Made by scripts/image.sh.
FROM scratch
COPY root/ /
ENV PATH=/usr/local/bin HOME=/tmp
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/svclab"]
CMD ["conformance", "--in-cluster", "--under-runner", "--output=/tmp/results"]
