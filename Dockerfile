# One image for both roles: `node /app/cli/main.ts relay` and `... operator`. Node runs the TypeScript as it is,
# so nothing is compiled; the final layers hold Node, the code and its production dependencies, and no npm.
FROM node:26-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# No scripts: nothing is native. No npm package `node`: it is for development.
RUN npm ci --omit=dev --ignore-scripts --prefer-offline --no-audit --no-fund \
  && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.cts' -o -name '*.d.mts' \) -delete
COPY . .

FROM debian:bookworm-slim
COPY --from=build /usr/local/bin/node /usr/local/bin/node
# What Node is linked against beyond libc.
COPY --from=build /usr/lib/*-linux-gnu/libatomic.so.1* /usr/local/lib/
RUN ldconfig && node --version
COPY --from=build /app /app
ENV NODE_ENV=production
# Memory that is free goes back to the kernel: a password's hash works on 19 MiB, and glibc would keep as much for
# each thread that ever made one; V8 would let 48 MiB of short-lived objects pile up before it looks at them.
ENV MALLOC_MMAP_THRESHOLD_=4194304
# Writes of big bodies wait for the disk in threads of this pool, each for itself.
ENV UV_THREADPOOL_SIZE=8
ENV NODE_OPTIONS=--max-semi-space-size=8
# Runs with a read-only root: it writes to spool.directory only. fsGroup 65532 makes a volume its own.
USER 65532:65532
WORKDIR /app
ENTRYPOINT ["node", "/app/cli/main.ts"]
CMD ["--help"]
