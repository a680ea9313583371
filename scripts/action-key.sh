#!/usr/bin/env bash
# Sets the outputs of a step: the key of Go's build and module caches for
# .github/actions/lab, and their folders. A key is
#
#   caslab-go-OS-ARCH-goVERSION-LAB-TREES
#
# LAB is a digest of all that the lab pins: its go.mod and go.sum files, with those
# of nested modules, and the default versions. TREES is a digest of VERSIONS, the
# wanted versions, and of the go.sum of each given tree, AUTOSCALER_TREE, CORE_TREE
# and CLUSTER_API_TREE. A commit that changes no dependency finds the cache of the
# one before it; any other commit starts from the nearest cache.
set -euo pipefail
export LC_ALL=C

cd "$(dirname "${BASH_SOURCE[0]}")/.."

digest() { sha256sum | cut -c 1-16; }

# Hidden folders hold fetched sources and other people's trees.
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
