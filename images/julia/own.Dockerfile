# julia: a session. JupyterLab with Julia, for one user, on a read-only root.
ARG PARTS
ARG TOOLS
FROM ${TOOLS} AS own
COPY julia/ /build/julia/
RUN /build/julia/own.sh

FROM ${PARTS}
# last, so that whoever has a package of the name JuliaBox gets theirs
ENV JULIA_LOAD_PATH=:/opt/juliabox/environment:/opt/juliabox/packages
USER 1000:1000
WORKDIR /
EXPOSE 8888
ENTRYPOINT ["/usr/bin/tini", "--", "/opt/venv/bin/python", "-I", "-S", "/opt/juliabox/juliabox_output.py", \
    "/opt/venv/bin/python", "/opt/juliabox/juliabox_entry.py"]
# cheap on purpose: it runs in every idle session
HEALTHCHECK --interval=60s --timeout=5s --start-period=60s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8888"]
LABEL org.opencontainers.image.title="JuliaBox session" \
      org.opencontainers.image.description="JupyterLab with Julia for one user" \
      org.opencontainers.image.licenses="MIT"
COPY --from=own /out/ /
