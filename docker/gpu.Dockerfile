# mminf with vLLM, for NVIDIA GPUs. It has not been built or run yet.
#
#   docker build -f docker/gpu.Dockerfile -t mminf-gpu .
#   docker run --gpus all --shm-size 16g -v "$PWD:/data" -v ~/.cache:/root/.cache mminf-gpu run oasis --input my_images/ --output out/oasis
#
# `~/.cache` keeps the models. The CUDA libraries come with the wheels of torch; the host needs the NVIDIA driver and the container toolkit. Triton, which
# vLLM uses, compiles with gcc. `--shm-size`: vLLM's processes exchange images in shared memory.
FROM python:3.11-slim
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY . /mminf
# Without the bytecode, Python would compile torch and vLLM at every start.
RUN pip install --no-cache-dir uv && uv pip install --system --no-cache --compile-bytecode '/mminf[vllm,s3,heic,view]'
WORKDIR /data
ENTRYPOINT ["mminf"]
