# lakeseal as one image for every command: `docker run lakeseal:0.1.0 --help`.
#
# Built from the checkout by the package's own build; the second stage holds what runs and nothing
# else, belongs to root, and is run by a user who can write nothing of it.

FROM node:24.21.0-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
# No install scripts: the image is the Node that the package would fetch.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24.21.0-bookworm-slim
ENV NODE_ENV=production \
    LAKESEAL_HTTP_HOST=0.0.0.0 \
    LAKESEAL_HTTP_PORT=9464
WORKDIR /app
COPY --from=build /src/package.json /src/LICENSE ./
COPY --from=build /src/node_modules ./node_modules
COPY --from=build /src/dist ./dist
# The signing key, the ledger of the collector, the state of the verifier: a volume put there takes over
# this owner.
RUN mkdir /keys /ledger /verifier && chown node:node /keys /ledger /verifier
USER node
EXPOSE 9464
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s --retries=6 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.LAKESEAL_HTTP_PORT}/livez`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# A young generation of at most so many MB: services/runtime/heap.ts says why.
ENTRYPOINT ["node", "--max-semi-space-size=16", "/app/dist/services/main.js"]
CMD ["--help"]
