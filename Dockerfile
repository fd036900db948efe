# docker build -t reco .                                     with CUDA, for x86-64
# docker build -t reco:cpu --build-arg DEVICE=cpu --build-arg TORCH_INDEX=URL .
#   URL: PyTorch's own package index of builds for CPUs, for an image without CUDA
# docker run --rm --read-only --tmpfs /tmp -v "$PWD:/data" reco run lartpc input.root -o out.h5
# apptainer build reco.sif docker-daemon:reco:latest
# apptainer run --nv reco.sif run lartpc input.root -o out.h5
ARG DEVICE=cuda
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS base
# Geant4 (reco simulate) loads these at run time
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgl1 libx11-6 libxext6 libxt6 libsm6 libice6 \
 && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
COPY container/*.txt /locks/

FROM base AS cpu
ARG TORCH_INDEX
RUN test -n "$TORCH_INDEX" || { echo "give --build-arg TORCH_INDEX=URL" >&2; exit 1; }
RUN pip install --no-deps --require-hashes --index-url "$TORCH_INDEX" -r /locks/cpu.txt

FROM base AS cuda
# Triton compiles its launchers with a C compiler
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
RUN pip install --no-deps --require-hashes -r /locks/cuda.txt

FROM ${DEVICE} AS reco
RUN pip install --no-deps --require-hashes -r /locks/common.txt && pip check
COPY pyproject.toml README.md LICENSE /src/
COPY detectors /src/detectors
COPY pipelines /src/pipelines
COPY sites /src/sites
COPY reco /src/reco
RUN pip install --no-deps --no-build-isolation /src && rm -rf /src
COPY data_samples/lartpc.root /opt/reco/sample.root
COPY container/start /opt/reco/start
RUN NUMBA_CACHE_DIR=/opt/reco/kernels reco run lartpc /opt/reco/sample.root -o /tmp/warm.h5 \
 && rm /tmp/warm.h5 && chmod -R a+rX /opt/reco \
 && useradd --create-home --uid 1000 reco
USER 1000
WORKDIR /data
HEALTHCHECK --interval=1h --timeout=5m \
  CMD ["/opt/reco/start", "run", "lartpc", "/opt/reco/sample.root", "--stop", "1", "-o", "/tmp/health.h5", "--overwrite"]
ENTRYPOINT ["/opt/reco/start"]
CMD ["--help"]
