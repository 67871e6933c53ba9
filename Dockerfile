# One image for all services; the command chooses which one runs: `python -m services.ingest`, `services.embedder`,
# `services.indexer`, `services.indexer.provision` (creates table, bucket and index), `gateway/render.py` (Envoy's
# configuration). The target `sandbox` is the same with the stand-ins of the compose profile `local`; production has
# no use for it.

# An exact version, so that the same source makes the same image. Who wants every byte of it the same gives a digest:
# --build-arg PYTHON_IMAGE=python:3.11.15-slim-trixie@sha256:…
ARG PYTHON_IMAGE=python:3.11.15-slim-trixie
FROM ${PYTHON_IMAGE} AS base
# The image brings no bytecode, and nothing may be written where it runs: what is imported lies compiled in /opt/pyc.
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPYCACHEPREFIX=/opt/pyc \
    PYTHONPATH=/app:/app/build/protos \
    PATH=/opt/venv/bin:$PATH
WORKDIR /app
# The folders that volumes are mounted on: a new volume takes over their owner.
RUN useradd --system --no-log-init --uid 10001 --no-create-home vectorline \
 && mkdir -p /config /scratch /data /state \
 && chown 10001 /config /scratch /state

# uv installs in seconds what takes pip minutes; pip brings it, by its hash. It stays out of the images. Where packages
# come by a mirror: --build-arg PIP_INDEX_URL= and UV_DEFAULT_INDEX=; its authority, as a file of PYTHON_IMAGE: PIP_CERT=
# and SSL_CERT_FILE=. Nothing of these is kept.
FROM base AS installer
ARG PIP_INDEX_URL UV_DEFAULT_INDEX PIP_CERT SSL_CERT_FILE
ENV UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements/bootstrap.lock requirements/
RUN python -m venv /opt/installer \
 && /opt/installer/bin/pip install --no-cache-dir --only-binary=:all: --require-hashes --requirement requirements/bootstrap.lock \
 && python -m venv --without-pip /opt/venv
COPY deploy/images deploy/images

# What turns the protos into Python and descriptors, and what the stand-ins run on.
FROM installer AS builder
ARG UV_DEFAULT_INDEX SSL_CERT_FILE
COPY requirements/line.lock requirements/
RUN /opt/installer/bin/uv pip install --python /opt/venv/bin/python --only-binary=:all: --require-hashes --requirement requirements/line.lock
COPY protos protos
COPY clients/python/src clients/python/src
RUN python protos/build.py

FROM builder AS stand-ins
COPY services services
COPY gateway gateway
COPY sandbox sandbox
RUN python deploy/images/prune.py \
 && python deploy/images/bytecode.py sandbox.openai.__main__ sandbox.pinecone.__main__ sandbox.line.aws ministack.app services.indexer.provision

# What a service needs and nothing else: neither compilers nor tests.
FROM installer AS packages
ARG UV_DEFAULT_INDEX SSL_CERT_FILE
# `tracing` has OpenTelemetry besides, for OTEL_EXPORTER_OTLP_ENDPOINT.
ARG REQUIREMENTS=runtime
COPY requirements/runtime.lock requirements/tracing.lock requirements/
RUN /opt/installer/bin/uv pip install --python /opt/venv/bin/python --only-binary=:all: --require-hashes --requirement requirements/${REQUIREMENTS}.lock \
 && python deploy/images/prune.py \
 && python deploy/images/sbom.py requirements/${REQUIREMENTS}.lock /opt/sbom.cdx.json

FROM packages AS code
COPY --from=builder /app/build/protos build/protos
COPY services services
COPY gateway gateway
COPY cli cli
COPY clients/python/src clients/python/src
RUN python deploy/images/bytecode.py services.ingest.__main__ services.embedder.__main__ services.indexer.__main__ \
      services.indexer.provision services.runtime.probe gateway.render cli.main

FROM base AS sandbox
LABEL org.opencontainers.image.title="vectorline-sandbox" \
      org.opencontainers.image.description="Stand-ins for OpenAI, Pinecone and AWS. Not for production."
COPY --from=builder /opt/venv /opt/venv
COPY --from=stand-ins /opt/pyc /opt/pyc
COPY --from=builder /app/build/protos build/protos
COPY services services
COPY gateway gateway
COPY sandbox sandbox
USER 10001
CMD ["python", "-m", "sandbox.openai", "--help"]

# The last stage is what `docker build .` makes. Its layers from what changes seldom to what changes always.
FROM base AS services
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="vectorline" \
      org.opencontainers.image.description="Rows of a CSV become vectors in Pinecone: ingest, embedder, indexer, and the gateway's configuration." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY --from=packages /opt/venv /opt/venv
# Which packages are in it, with their hashes and licences (CycloneDX).
COPY --from=packages /opt/sbom.cdx.json /opt/sbom.cdx.json
COPY --from=code /opt/pyc /opt/pyc
COPY --from=builder /app/build/protos build/protos
COPY services services
COPY console console
COPY gateway gateway
COPY cli cli
COPY clients/python/src clients/python/src
USER 10001
# The exec form: SIGTERM reaches the service itself, which then drains. There is no default service on purpose.
CMD ["python", "-c", "raise SystemExit('Name a service: python -m services.ingest | services.embedder | services.indexer')"]
