# control: hub, proxy and manager; one image, several commands.
ARG PARTS
ARG TOOLS
FROM ${TOOLS} AS own
COPY control/own.sh /build/
COPY project/ /build/project/
RUN /build/own.sh

FROM ${PARTS}
# the manager alone runs as root (compose.yaml says so)
USER 900:900
WORKDIR /
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["juliabox-hub"]
# each part names its own check in compose.yaml; this one is for an image that is run by hand
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["juliabox-health", "hub"]
LABEL org.opencontainers.image.title="JuliaBox control" \
      org.opencontainers.image.description="Hub, proxy and container manager" \
      org.opencontainers.image.licenses="MIT"
COPY --from=own /out/ /
