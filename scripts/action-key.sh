#!/usr/bin/env bash
# Says, as outputs of a step, under which key .github/actions/lab keeps Go's
# build and module caches, and where these are. A key is
#
#   caslab-go-OS-ARCH-goVERSION-LAB-TREES
#
# LAB is a digest of what the lab pins: every go.mod and go.sum of it, those of
# the nested modules included, and the default versions. TREES is one of the
# versions that were asked for, VERSIONS, and of the go.sum of each tree that
# was given, AUTOSCALER_TREE, CORE_TREE and CLUSTER_API_TREE. So a commit that
# changes no dependency finds the cache of the one before, and any other begins
# with the nearest.
set -euo pipefail
export LC_ALL=C

cd "$(dirname "${BASH_SOURCE[0]}")/.."

digest() { sha256sum | cut -c 1-16; }

# Hidden folders hold what is fetched, and other people's trees.
lab=$(find . -mindepth 1 -name '.*' -prune -o \( -name go.mod -o -name go.sum -o -path ./magefiles/internal/config/settings.go \) -print0 |
	sort -z | xargs -0 sha256sum | digest)
trees=$(
	printf '%s\n' "$VERSIONS"
	for sum in "${AUTOSCALER_TREE:+$AUTOSCALER_TREE/cluster-autoscaler/go.sum}" "${CORE_TREE:+$CORE_TREE/go.sum}" \
		"${CLUSTER_API_TREE:+$CLUSTER_API_TREE/go.sum}" "${CLUSTER_API_TREE:+$CLUSTER_API_TREE/test/go.sum}"; do
		if [ -f "$sum" ]; then sha256sum <"$sum"; else echo none; fi
	done
)
trees=$(digest <<<"$trees")
prefix=caslab-go-$RUNNER_OS-$RUNNER_ARCH-go$GO_VERSION-
{
	printf 'key=%s\n' "$prefix$lab-$trees"
	printf 'same-lab=%s\n' "$prefix$lab-"
	printf 'same-go=%s\n' "$prefix"
	printf 'build=%s\n' "$(go env GOCACHE)"
	printf 'modules=%s\n' "$(go env GOMODCACHE)"
} >>"$GITHUB_OUTPUT"
