# julia-api: one worker of the REST API engine, or several. Julia alone, on a read-only root.
ARG PARTS
ARG TOOLS
FROM ${TOOLS} AS own
COPY julia-api/ /build/julia-api/
COPY julia/packages/JuliaBox/src/content.jl /build/
RUN /build/julia-api/own.sh

# the worker's program, compiled ahead in its place
FROM ${PARTS} AS compiled
COPY --from=own /out/ /
COPY julia-api/compile.sh julia-api/first.jl julia-api/system.jl /build/
RUN /build/compile.sh

# Julia's whole system with that program in it, where Julia keeps native code nowhere else
FROM ${TOOLS} AS linked
ARG APT_MIRROR=
RUN /build/apt.sh binutils
COPY --from=compiled /out/ /out/
COPY julia-api/link.sh /build/
RUN /build/link.sh

FROM ${PARTS}
USER 1000:1000
WORKDIR /
EXPOSE 8888
ENTRYPOINT ["/usr/bin/tini", "--", "/opt/juliabox/api/start"]
# for an image that is run by hand: the manager turns it off
HEALTHCHECK --interval=60s --timeout=5s --start-period=60s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8888"]
LABEL org.opencontainers.image.title="JuliaBox API container" \
      org.opencontainers.image.description="Julia that carries out calls of published functions" \
      org.opencontainers.image.licenses="MIT"
COPY --from=linked /out/ /
