# The coordinator: compiled programs, no TensorFlow and no image library. Built from the root of the repository:
#   docker build -f deploy/docker/coordinator.Dockerfile -t pocketfleet/coordinator:0.1.0 .
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY scripts scripts
COPY proto proto
COPY core core
COPY coordinator coordinator
# The image gets files where the build has links to its sources.
RUN node scripts/build.mjs && mkdir built && cp -RL dist/proto dist/core dist/coordinator built \
    && npm prune --omit=dev --ignore-scripts && rm -rf node_modules/@tensorflow node_modules/sharp node_modules/@img

FROM node:24-bookworm-slim
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/built dist
COPY package.json ./
# The commit that the image is built from, as metrics show it: --build-arg REVISION=$(git rev-parse HEAD).
ARG REVISION=
RUN echo "$REVISION" > REVISION
# A number, so that a cluster can see that it is not root's.
USER 10001:10001
EXPOSE 7070 7071
# Exec form: the signals of the cluster reach the program.
ENTRYPOINT ["node", "dist/coordinator/main.js"]
