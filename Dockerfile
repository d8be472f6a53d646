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
COPY requirements-runtime.lock ./

FROM build AS build-cpu
RUN --mount=type=cache,target=/pip-cache \
    pip install --disable-pip-version-check --require-hashes -r requirements-runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY service service
RUN pip install --disable-pip-version-check --no-deps --no-build-isolation .

FROM build AS build-gpu
# tensorflow[and-cuda] brings CUDA itself, leaner than a CUDA base image that would hold it twice. It takes the place of
# tensorflow-cpu; everything else stays as it is locked.
RUN --mount=type=cache,target=/pip-cache \
    python -c "import re; \
text = open('requirements-runtime.lock').read(); \
blocks = re.split(r'\n(?=\S)', text); \
print('\n'.join(b for b in blocks if not b.startswith(('tensorflow-cpu==', 'tensorflow=='))))" > gpu.lock \
 && pip install --disable-pip-version-check --require-hashes -r gpu.lock \
 && pip install --disable-pip-version-check 'tensorflow[and-cuda]==2.21.*'
COPY pyproject.toml README.md LICENSE ./
COPY service service
RUN pip install --disable-pip-version-check --no-deps --no-build-isolation .

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
