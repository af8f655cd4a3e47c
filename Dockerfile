# Trains on the CPU:
#   docker build --tag dgm-run .
#   mkdir -p outputs
#   docker run --rm --volume "$PWD/outputs:/work/outputs" dgm-run model=vae prior=vampprior
# User 1000 must be able to write into the folder outputs. `--user "$(id -u)"` makes it yours.
# On Linux, torch comes with CUDA (some gigabytes; then `--gpus all` works). For the CPU alone, build with
# `--build-arg PIP_EXTRA_INDEX_URL=...`, the index of CPU wheels that PyTorch's installation page names.
FROM python:3.11-slim

ARG PIP_EXTRA_INDEX_URL=""

WORKDIR /build
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY dgm_run dgm_run
COPY hydra_plugins hydra_plugins
COPY conf conf
RUN pip install --no-cache-dir --constraint constraints.txt . && rm -rf /build

RUN useradd --create-home --uid 1000 dgm && install --directory --owner dgm --mode 0777 /work /work/outputs /work/data
USER 1000
WORKDIR /work
ENV DGM_DATA_DIR=/work/data MPLCONFIGDIR=/tmp/matplotlib PYTHONUNBUFFERED=1

ENTRYPOINT ["dgm-run"]
CMD ["model=vae"]
