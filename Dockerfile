# Two images of one service: `cpu` (the last, so the default) and `gpu`.
#   docker build -t outfielder .
#   docker build -t outfielder:gpu --target gpu .

FROM python:3.12-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/outfielder/bin:$PATH \
    KERAS_HOME=/tmp/keras \
    OUTFIELDER_HOST=0.0.0.0 \
    OUTFIELDER_MODELS_STORE=/data/models_store \
    OUTFIELDER_STATE_DIR=/data/state

FROM base AS build
ENV PIP_CACHE_DIR=/pip-cache
RUN python -m venv /opt/outfielder
WORKDIR /src

FROM build AS build-cpu
COPY requirements-runtime.lock ./
RUN --mount=type=cache,target=/pip-cache \
    pip install --disable-pip-version-check --require-hashes -r requirements-runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY clients/python clients/python
RUN pip install --disable-pip-version-check --no-deps --no-build-isolation . ./clients/python

FROM build AS build-gpu
# JAX fits networks, so CUDA comes with JAX' own packages (leaner than a CUDA base image, which would hold it twice). All
# others are those of the CPU image: TensorFlow exports and serves, on the processor.
COPY requirements-gpu.lock ./
RUN --mount=type=cache,target=/pip-cache \
    pip install --disable-pip-version-check --require-hashes -r requirements-gpu.lock
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY clients/python clients/python
RUN pip install --disable-pip-version-check --no-deps --no-build-isolation . ./clients/python

FROM base AS runtime
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin outfielder \
 && install -d -o outfielder -g outfielder /data /data/models_store /data/state
USER outfielder
WORKDIR /data
VOLUME /data
EXPOSE 8000
LABEL org.opencontainers.image.title="Outfielder" \
      org.opencontainers.image.description="A forecasting REST microservice" \
      org.opencontainers.image.licenses="Apache-2.0"
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
# Nobody reaches the container until a port is published; who publishes one sets OUTFIELDER_API_KEYS, which --insecure
# does not put out of force. The compose file insists on them.
ENTRYPOINT ["outfielder"]
CMD ["up", "--insecure"]

FROM runtime AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-gpu /opt/outfielder /opt/outfielder

FROM runtime AS cpu
COPY --from=build-cpu /opt/outfielder /opt/outfielder
