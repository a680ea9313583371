#!/usr/bin/env bash
# Reports a run of .github/actions/lab, however far it got: on the page of the
# workflow's run, in OUT/comment.md, which suits a pull request, and in the folder
# OUT, to which it adds the lab's logs and the timeline's record.
#
# It needs OUT, ARTIFACT, the name under which OUT will be uploaded, and BUILD,
# UP and RUN, the outcomes of the steps that compiled the autoscaler, brought the
# lab up and ran the scenarios.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# GitHub takes 1 MiB for the page, and 65536 characters for a comment.
readonly page_max=1000000 comment_max=60000

# A workflow finds its earlier comment by this line.
readonly marker='<!-- caslab -->'

summary() {
	printf '[The run](%s), with logs, JUnit and the timeline in its artifact **%s**.\n\n' \
		"$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID" "$ARTIFACT"
	if [ -s "$OUT/summary.md" ]; then
		cat "$OUT/summary.md"
	elif [ "$BUILD" = failure ]; then
		# shellcheck disable=SC2016 # Markdown
		printf '### caslab\n\nNo scenario ran: the autoscaler was not compiled.\n\n```\n%s\n```\n' "$(tail -n 30 "$OUT/build.log")"
	elif [ "$UP" != success ]; then
		printf '### caslab\n\nNo scenario ran: the lab did not come up.\n'
	else
		# shellcheck disable=SC2016 # Markdown
		printf '### caslab\n\nThe scenarios ended without a summary; `scenario:run`: %s.\n' "$RUN"
	fi
	if [ -s "$OUT/compare/summary.md" ]; then
		printf '\n'
		cat "$OUT/compare/summary.md"
	fi
}

# first BYTES prints the lines of stdin that fit, and says if some do not fit. It
# leaves no <details> block open.
first() {
	local text
	text=$(cat)
	if [ "$(wc -c <<<"$text")" -le "$1" ]; then
		printf '%s\n' "$text"
		return
	fi
	text=$(head -c "$1" <<<"$text" | sed '$d')
	if [ "$(grep -c '<details' <<<"$text")" -gt "$(grep -c '</details' <<<"$text")" ]; then
		text=${text%'<details'*}
	fi
	printf '%s\n' "$text"
	printf '\nThe rest is cut off here: see summary.md in the artifact **%s**.\n' "$ARTIFACT"
}

keep() { if [ -e "$1" ]; then cp -R "$1" "$OUT/$2"; fi; }

# managers adds the logs of Cluster API's managers, if there is a cluster to ask:
# the state folder has none.
managers() {
	local kubeconfig namespace
	if ! command -v kubectl >/dev/null; then
		echo 'kubectl is not there: the logs of the managers are not kept' >&2
		return
	fi
	mkdir -p "$OUT/logs"
	for kubeconfig in .caslab/kubeconfig/*; do
		[ -f "$kubeconfig" ] || continue
		for namespace in capi-system capi-kubeadm-bootstrap-system capi-kubeadm-control-plane-system capd-system; do
			timeout 15 kubectl --kubeconfig="$kubeconfig" --namespace="$namespace" logs \
				--selector=control-plane=controller-manager --tail=-1 --prefix \
				>"$OUT/logs/$(basename "$kubeconfig")-$namespace.log" 2>&1 || true
		done
	done
}

text=$(summary)
first "$page_max" <<<"$text" >>"$GITHUB_STEP_SUMMARY"
{
	printf '%s\n' "$marker"
	first "$comment_max" <<<"$text"
} >"$OUT/comment.md"

# The text quotes the autoscaler under test, which must not guess the delimiter.
end=caslab-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
{
	printf 'comment<<%s\n' "$end"
	cat "$OUT/comment.md"
	printf '%s\n' "$end"
} >>"$GITHUB_OUTPUT"

keep caslab.yaml caslab.yaml
keep .caslab/logs logs
managers
keep .caslab/timeline record
