#!/usr/bin/env bash
# Builds the project's Dockerfile into an image archive without pulling anything: the two images that it is FROM
# are stood in for by a Debian of mmdebstrap's and the Node of the npm package. Prints the image's size.
# Usage: image.sh CACHE NAME ARCHIVE   Needs root, and Debian's buildah and mmdebstrap.
set -euo pipefail
CACHE=$1 NAME=$2 ARCHIVE=$3
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
NODE=$(readlink -f "$ROOT/node_modules/node/bin/node")
export npm_config_loglevel=error
NPM=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
WORK=$(mktemp -d)
export STORAGE_DRIVER=overlay BUILDAH_ISOLATION=chroot
buildah() { command buildah --root "$WORK/storage" --runroot "$WORK/run" "$@"; }
finish() {
  buildah rm --all > /dev/null 2>&1 || true
  buildah rmi --all --force > /dev/null 2>&1 || true
  umount -l "$WORK/storage/overlay" 2> /dev/null || true
  rm -rf "$WORK"
}
trap finish EXIT

mkdir -p "$CACHE"
if [ ! -f "$CACHE/bookworm.tar" ]; then
  mmdebstrap --quiet --variant=minbase --include=ca-certificates,libatomic1 \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$WORK/bookworm.tar"
  mv "$WORK/bookworm.tar" "$CACHE/bookworm.tar"
fi
base=$(buildah from scratch)
buildah add -q "$base" "$CACHE/bookworm.tar" / > /dev/null
buildah commit -q "$base" docker.io/library/debian:bookworm-slim > /dev/null
buildah add -q "$base" "$NODE" /usr/local/bin/node > /dev/null
buildah add -q "$base" "$NPM" /usr/local/lib/node_modules/npm > /dev/null
buildah run "$base" -- ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
buildah commit -q "$base" docker.io/library/node:26-bookworm-slim > /dev/null

# npm in the build finds its packages as npm here does: in the cache, or with the same registry and authorities.
authorities=$(npm config get cafile)
[ -f "$authorities" ] || authorities=/etc/ssl/certs/ca-certificates.crt
printf 'registry=%s\ncafile=/etc/ssl/certs/ca-certificates.crt\n' "$(npm config get registry)" > "$WORK/npmrc"
mkdir -p "$(npm config get cache)"
buildah bud -q --pull=never --layers=false --tag "$NAME" \
  --volume "$(npm config get cache):/root/.npm" --volume "$WORK/npmrc:/root/.npmrc:ro" \
  --volume "$authorities:/etc/ssl/certs/ca-certificates.crt:ro" \
  --file "$ROOT/Dockerfile" "$ROOT" > "$WORK/build.log" 2>&1 || { cat "$WORK/build.log" >&2; exit 1; }
rm -f "$ARCHIVE"
buildah push -q "$NAME" "docker-archive:$ARCHIVE:$NAME"
container=$(buildah from --pull=never "$NAME")
mounted=$(buildah mount "$container")
if find "$mounted/usr" "$mounted/app" -path '*/node_modules/npm' -o -path '*/node_modules/typescript' | grep .; then
  echo "the image holds what is for development only" >&2
  exit 1
fi
echo "image: $(($(du -sk "$mounted" | cut -f1) / 1024)) MiB, of which node $(($(du -sk "$mounted/usr/local/bin" | cut -f1) / 1024))" \
  "and the application $(($(du -sk "$mounted/app" | cut -f1) / 1024)); archive $(($(stat -c %s "$ARCHIVE") / 1048576)) MiB"
