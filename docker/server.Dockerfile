# mminf for models on servers, without GPU libraries. It has not been built or run yet.
#
#   docker build -f docker/server.Dockerfile -t mminf-server .
#   docker run -e OPENAI_API_KEY -v "$PWD:/data" mminf-server run my_data/caption_qa.yaml --output out/caption_qa
#
# ms-swift needs torch, also where only servers are asked; the build for CPUs is smaller.
FROM python:3.11-slim
COPY . /mminf
RUN pip install --no-cache-dir uv \
    && uv pip install --system --no-cache --compile-bytecode --torch-backend cpu '/mminf[s3,heic,view]'
WORKDIR /data
ENTRYPOINT ["mminf"]
