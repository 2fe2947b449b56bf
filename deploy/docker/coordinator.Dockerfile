# The coordinator: TypeScript run by tsx, no TensorFlow. Built from the root of the repository:
#   docker build -f deploy/docker/coordinator.Dockerfile -t pocketfleet/coordinator:0.1.0 .
FROM node:22-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --omit=dev && rm -rf node_modules/@tensorflow

FROM node:22-bookworm-slim
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY package.json tsconfig.json ./
COPY proto proto
COPY core core
COPY coordinator coordinator
# A number, so that a cluster can see that it is not root's.
USER 10001:10001
EXPOSE 7070 7071
# Exec form: the signals of the cluster reach the program.
ENTRYPOINT ["node", "--import", "tsx", "coordinator/main.ts"]
