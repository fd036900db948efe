# docker build -t reco .                                     torch from PyPI: CUDA on x86-64
# docker build -t reco:cpu --build-arg DEVICE=cpu --build-arg TORCH_INDEX=URL .
#   URL: a package index with CPU builds of torch, for an image without CUDA
# docker run --rm -v "$PWD:/data" reco run lartpc input.root -o out.h5
ARG DEVICE=cuda

FROM python:3.11-slim AS base
# Geant4 (reco simulate) loads these at run time
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgl1 libx11-6 libxext6 libxt6 libsm6 libice6 \
 && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/opt/numba

FROM base AS cpu
ARG TORCH_INDEX
RUN test -n "$TORCH_INDEX" || { echo "give --build-arg TORCH_INDEX=URL" >&2; exit 1; }
RUN pip install --index-url "$TORCH_INDEX" "torch>=2.6,<2.14"

FROM base AS cuda
RUN pip install "torch>=2.6,<2.14"

FROM ${DEVICE} AS reco
COPY . /src
RUN pip install "/src[sim]" && mkdir -p /opt/numba && cp -r /src/data_samples /opt/sample \
 && reco run lartpc /opt/sample/lartpc.root -o /tmp/warm.h5 && rm -rf /src /tmp/warm.h5 \
 && chmod -R a+rwX /opt/numba
RUN useradd --create-home --uid 1000 reco
USER reco
WORKDIR /data
HEALTHCHECK CMD reco run lartpc /opt/sample/lartpc.root --stop 1 -o /tmp/health.h5 --overwrite
ENTRYPOINT ["reco"]
CMD ["--help"]
