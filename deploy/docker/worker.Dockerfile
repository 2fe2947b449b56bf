# The worker, with libtensorflow for the CPU or, with --build-arg TENSORFLOW=gpu, for CUDA. From the repository's root:
#   docker build -f deploy/docker/worker.Dockerfile -t pocketfleet/worker:0.1.0 .
FROM node:24-bookworm AS build
ARG TENSORFLOW=cpu
RUN apt-get update && apt-get install -y --no-install-recommends g++ make python3 python3-pip && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY scripts scripts
COPY core/tensor/native core/tensor/native
COPY core/system/native core/system/native
# The cache is on the same file system, so libraries are linked into the package and not copied twice.
RUN POCKETFLEET_TENSORFLOW=$TENSORFLOW XDG_CACHE_HOME=/cache node scripts/setup.mjs \
    && rm -rf /cache
COPY proto proto
COPY core core
COPY worker worker
# The image gets files where the build has links to its sources.
RUN node scripts/build.mjs && mkdir built && cp -RL dist/proto dist/core dist/worker built && npm prune --omit=dev --ignore-scripts

FROM node:24-bookworm-slim
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/built dist
COPY package.json ./
# The commit that the image is built from, as metrics show it: --build-arg REVISION=$(git rev-parse HEAD).
ARG REVISION=
RUN echo "$REVISION" > REVISION
USER 10001:10001
EXPOSE 7072
# Read by NVIDIA's container runtime: which GPUs the container is given, and that the driver's libcuda and libnvidia-ml come with them.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Read by TensorFlow when the process starts.
ENV TF_CPP_MIN_LOG_LEVEL=2
ENTRYPOINT ["node", "dist/worker/main.js"]
