# brainfm with CUDA and mamba-ssm:   docker build -t brainfm .
# without a GPU:                     docker build -t brainfm --build-arg BASE=python:3.12-slim --build-arg CPU=1 .
# Recordings and results are mounted:
#   docker run --gpus all -v "$PWD:/data" --user "$(id -u):$(id -g)" brainfm status store.zarr
#
# Not built in CI. TORCH_INDEX has to offer the version in constraints.txt for the CUDA version of BASE.
ARG BASE=nvidia/cuda:13.0.1-cudnn-devel-ubuntu24.04
FROM ${BASE}

ARG CPU=0
ARG TORCH_INDEX=https://download.pytorch.org/whl/cu130
# Compute capabilities to compile for: A100, H100 and their consumer siblings.
ARG TORCH_CUDA_ARCH_LIST="8.0;8.6;8.9;9.0"

# python:* images bring their own Python; building mamba-ssm also wants a compiler and Python's headers.
RUN if [ "$CPU" = 0 ]; then \
      apt-get update && \
      DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        build-essential git ninja-build python3-dev python3-venv && \
      rm -rf /var/lib/apt/lists/*; \
    fi
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# torch comes first, from the index that fits: the next steps find it and bring no other.
COPY constraints.txt /opt/brainfm/
RUN if [ "$CPU" = 0 ]; then index="$TORCH_INDEX"; else index=https://download.pytorch.org/whl/cpu; fi && \
    pip install --constraint /opt/brainfm/constraints.txt --index-url "$index" torch

# mamba-ssm and causal-conv1d ask for torch while they are built, so an isolated build fails with "No module named
# 'torch'". Compiled here, because their ready-made wheels are for other versions of torch. Without CUDA mamba-ssm
# neither builds nor imports, so the CPU image is without it.
RUN if [ "$CPU" = 0 ]; then \
      pip install ninja packaging setuptools wheel && \
      CAUSAL_CONV1D_FORCE_BUILD=TRUE MAMBA_FORCE_BUILD=TRUE MAX_JOBS=4 \
      TORCH_CUDA_ARCH_LIST="$TORCH_CUDA_ARCH_LIST" \
      pip install --constraint /opt/brainfm/constraints.txt --no-build-isolation \
        'causal-conv1d>=1.4' 'mamba-ssm>=2.2'; \
    fi

COPY pyproject.toml README.md LICENSE /opt/brainfm/
COPY brainfm /opt/brainfm/brainfm
COPY configs /opt/brainfm/configs
RUN pip install --constraint /opt/brainfm/constraints.txt /opt/brainfm

RUN useradd --create-home brainfm && mkdir /data && chown brainfm /data
USER brainfm
# The cache of matplotlib, also where --user names someone without a home.
ENV MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /data
ENTRYPOINT ["brainfm"]
