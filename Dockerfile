# One image for all services; the command chooses which one runs: `python -m services.ingest`, `services.embedder`,
# `services.indexer`, `services.indexer.provision` (creates table, bucket and index), `gateway/render.py` (Envoy's
# configuration). The target `sandbox` is the same with the stand-ins of the compose profile `local`; production has
# no use for it.

# An exact version, so that the same source makes the same image. Who wants every byte of it the same gives a digest:
# --build-arg PYTHON_IMAGE=python:3.11.15-slim-trixie@sha256:…
ARG PYTHON_IMAGE=python:3.11.15-slim-trixie
FROM ${PYTHON_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PATH=/opt/venv/bin:$PATH
WORKDIR /app
# The folders that volumes are mounted on: a new volume takes over their owner.
RUN useradd --system --uid 10001 --no-create-home vectorline \
 && mkdir -p /config /scratch /data /state \
 && chown vectorline /config /scratch /state

# uv installs in seconds what takes pip minutes; pip brings it, by its hash. It stays out of the images.
FROM base AS installer
ENV UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 \
    UV_NO_CACHE=1
COPY requirements/bootstrap.lock requirements/
RUN python -m venv /opt/installer \
 && /opt/installer/bin/pip install --no-cache-dir --only-binary=:all: --require-hashes --requirement requirements/bootstrap.lock \
 && python -m venv --without-pip /opt/venv

# What turns the protos into Python and descriptors, and what the stand-ins run on.
FROM installer AS builder
COPY requirements/line.lock requirements/
RUN /opt/installer/bin/uv pip install --python /opt/venv/bin/python --only-binary=:all: --require-hashes --requirement requirements/line.lock
COPY protos protos
RUN python protos/build.py

# What a service needs and nothing else: neither compilers nor tests.
FROM installer AS packages
COPY requirements/runtime.lock requirements/
RUN /opt/installer/bin/uv pip install --python /opt/venv/bin/python --only-binary=:all: --require-hashes --requirement requirements/runtime.lock

FROM base AS sandbox
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /app/build/protos build/protos
COPY services services
COPY gateway gateway
COPY sandbox sandbox
ENV PYTHONPATH=/app:/app/build/protos
USER vectorline
CMD ["python", "-m", "sandbox.openai", "--help"]

# The last stage is what `docker build .` makes.
FROM base AS services
COPY --from=packages /opt/venv /opt/venv
COPY --from=builder /app/build/protos build/protos
COPY services services
COPY gateway gateway
COPY cli cli
ENV PYTHONPATH=/app:/app/build/protos
USER vectorline
# The exec form: SIGTERM reaches the service itself, which then drains. There is no default service on purpose.
CMD ["python", "-c", "raise SystemExit('Name a service: python -m services.ingest | services.embedder | services.indexer')"]
