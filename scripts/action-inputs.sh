#!/usr/bin/env bash
# Refuses all wrong inputs of .github/actions/lab together, before anything is
# fetched or started. Turns the right ones into settings of the lab, in
# caslab.yaml at its root, and into outputs of the step.
#
# Inputs are other people's text: they come as variables, INPUT_NAME, are
# matched whole, and are never a part of a command. Outputs are written after all
# inputs were matched: a line break in one would make two outputs. It needs what GitHub
# sets for every step: GITHUB_WORKSPACE, GITHUB_OUTPUT, RUNNER_OS, RUNNER_TEMP.
set -euo pipefail
export LC_ALL=C # ranges of letters are ASCII

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly root
readonly settings=$root/caslab.yaml
readonly signature='# Written by scripts/action-inputs.sh from the inputs of the action.'

# Trees that the action checks out: below the workspace, as actions/checkout
# wants it, and hidden from "go build ./..." in the caller's own tree.
readonly trees=.caslab-trees

readonly version='^v?[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$'
readonly repository='^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$'
readonly ref='^[A-Za-z0-9][A-Za-z0-9._/+@-]{0,249}$'
readonly names='^[a-z0-9][a-z0-9-]*(,[a-z0-9][a-z0-9-]*)*$'
readonly artifact='^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'
readonly number='^[1-9][0-9]{0,2}$'
readonly minutes_max=75 repeat_max=100 parallel_max=16

# The inputs by their names, and their results.
declare -A in=()
for variable in "${!INPUT_@}"; do
	name=${variable#INPUT_}
	name=${name,,}
	in[${name//_/-}]=${!variable}
done
declare -A section=()
outputs=()
refused=false

# refuse INPUT WHY annotates the run, on one line whatever the value.
refuse() {
	printf '::error title=caslab::%s=%q: %s\n' "$1" "${in[$1]-}" "$2"
	refused=true
}

output() { outputs+=("$1=$2"); }

# matching INPUT PATTERN WANT refuses an input that is set and does not match.
matching() {
	[ -z "${in[$1]-}" ] || [[ ${in[$1]} =~ $2 ]] || refuse "$1" "$3"
}

# folder INPUT WANT sets the variable folder to the absolute path of a folder that
# is given from the workspace. It is empty if the input is empty or refused.
folder() {
	local path=${in[$1]-}
	folder=''
	[ -n "$path" ] || return 0
	[[ $path == /* ]] || path=$GITHUB_WORKSPACE/$path
	if [[ $path == *[[:cntrl:]]* ]] || ! [ -d "$path" ]; then
		refuse "$1" "$2"
		return
	fi
	folder=$(cd "$path" && pwd -P)
}

quoted() {
	local quote="'"
	printf "'%s'" "${1//$quote/$quote$quote}"
}

# setting INPUT SECTION KEY VARIABLE VALUE stores a setting for caslab.yaml, at its
# top if SECTION is top. The input is refused if the job has the variable, because
# the environment overrides that file.
setting() {
	[ -n "$5" ] || return 0
	if [ -n "${!4-}" ] && [ "${!4}" != "$5" ]; then
		refuse "$1" "the job has another $4 in its environment; remove one of the two"
	fi
	section[$2]+="  $3: $(quoted "$5")"$'\n'
}

# tree COMPONENT UPSTREAM RELEASE checks the origin of a component's source, and sets
# the variable tree to the folder of its tree, or to nothing for a release.
tree() {
	local component=$1 upstream=$2 example=$3
	local from=${in[$component-repository]-} at=${in[$component-ref]-}
	matching "$component-version" "$version" "want a release, such as $example"
	matching "$component-repository" "$repository" "want OWNER/NAME on GitHub, such as $upstream"
	matching "$component-ref" "$ref" 'want a branch, a tag, a commit, or refs/pull/N/merge'
	[[ $at != *..* ]] || refuse "$component-ref" 'no ref of git has two dots in a row'
	[ -z "$from" ] || [ -n "$at" ] || refuse "$component-repository" "give $component-ref too, or $component-version alone for a release"
	folder "$component-dir" "no such folder in $GITHUB_WORKSPACE; check the tree out in a step before this one"
	tree=$folder
	if [ -n "$at" ]; then
		[ -z "${in[$component-dir]-}" ] || refuse "$component-dir" "give either $component-dir or $component-ref"
		tree=$GITHUB_WORKSPACE/$trees/$component
		output "$component-repository" "${from:-$upstream}"
		output "$component-checkout" "$trees/$component"
	fi
	output "$component-tree" "$tree"
}

scenarios() {
	local list=${in[scenarios]//, /,} one
	if ! [[ $list =~ $names ]]; then
		refuse scenarios 'want all, or names with commas between them, such as those of manifests/scenarios'
		return
	fi
	for one in ${list//,/ }; do
		[ "$list" = all ] || [ -f "$root/manifests/scenarios/$one.yaml" ] ||
			refuse scenarios "no such scenario: there is no manifests/scenarios/$one.yaml"
	done
	output scenarios "$list"
}

# tags checks that at least one scenario has each tag.
tags() {
	local list=${in[tags]//, /,} one
	if [ -n "$list" ] && ! [[ $list =~ $names ]]; then
		refuse tags 'want tags with commas between them, such as fast'
		return
	fi
	for one in ${list//,/ }; do
		grep -qE "^tags:.*[[ ,]${one}[],]" "$root"/manifests/scenarios/*.yaml ||
			refuse tags "no file in manifests/scenarios has the tag $one"
	done
	output tags "$list"
}

# up_to MAX INPUT refuses an input that is not a whole number from 1 to MAX.
up_to() {
	if ! [[ ${in[$2]} =~ $number ]] || [ "${in[$2]}" -gt "$1" ]; then
		refuse "$2" "want a whole number from 1 to $1"
	fi
}

# base CANDIDATE checks the release or the folder with which the candidate is
# compared.
base() {
	local other=${in[base]-}
	[ -n "$other" ] || return 0
	if ! [[ $other =~ $version ]]; then
		folder base "want a release, such as 1.36.1, or a folder of $GITHUB_WORKSPACE with a tree of the autoscaler"
		other=$folder
	fi
	[ -z "${in[autoscaler-core-dir]-}" ] || refuse base 'autoscaler-core-dir would be built into the base too; give one of the two'
	[ -n "$1" ] || refuse base 'say what is compared with it: autoscaler-version, autoscaler-ref or autoscaler-dir'
	output base "$other"
	output candidate "$1"
}

# write_settings replaces the settings of an earlier use in the same job.
write_settings() {
	local part
	printf '%s\n' "$signature"
	printf '%s' "${section[top]-}" | sed 's/^  //'
	for part in clusterAPI autoscaler; do
		[ -z "${section[$part]-}" ] || printf '%s:\n%s' "$part" "${section[$part]}"
	done
}

main() {
	local autoscaler
	[ "$RUNNER_OS" = Linux ] || refuse runs-on 'the lab needs a Linux runner with Docker, such as ubuntu-24.04'
	if [ -e "$settings" ] && [ "$(head -n 1 "$settings")" != "$signature" ]; then
		refuse caslab.yaml "$settings has settings that are not of this action; remove the file"
	fi

	tree cluster-api kubernetes-sigs/cluster-api v1.14.2
	setting cluster-api-dir clusterAPI dir CAPI_DIR "$tree"
	setting cluster-api-version clusterAPI version CAPI_VERSION "${in[cluster-api-version]-}"

	tree autoscaler kubernetes/autoscaler 1.36.1
	autoscaler=$tree
	setting autoscaler-dir autoscaler dir AUTOSCALER_DIR "$autoscaler"
	setting autoscaler-version autoscaler version AUTOSCALER_VERSION "${in[autoscaler-version]-}"

	folder autoscaler-core-dir "no such folder in $GITHUB_WORKSPACE; check the tree out in a step before this one"
	[ -z "$folder" ] || [ -n "$autoscaler" ] || refuse autoscaler-core-dir 'give the tree that imports it too: autoscaler-ref, such as master, or autoscaler-dir'
	setting autoscaler-core-dir autoscaler coreDir AUTOSCALER_CORE_DIR "$folder"
	output autoscaler-core-tree "$folder"

	matching kubernetes-version "$version" 'want a release, such as v1.36.1'
	setting kubernetes-version top kubernetesVersion KUBERNETES_VERSION "${in[kubernetes-version]-}"

	scenarios
	tags
	case ${in[machines]} in
		hollow | docker) output machines "${in[machines]}" ;;
		*) refuse machines 'want hollow or docker' ;;
	esac
	up_to "$repeat_max" repeat
	output repeat "${in[repeat]}"
	up_to "$parallel_max" parallel
	output parallel "${in[parallel]}"
	base "${autoscaler:-${in[autoscaler-version]-}}"
	up_to "$minutes_max" timeout-minutes
	[[ ${in[artifact]} =~ $artifact ]] || refuse artifact 'want up to 100 letters, digits, dots, hyphens and underscores'

	if "$refused"; then exit 1; fi
	write_settings >"$settings"
	output out "$(mktemp -d "$RUNNER_TEMP/caslab.XXXXXX")"
	output root "$root"
	printf '%s\n' "${outputs[@]}" >>"$GITHUB_OUTPUT"
}

main
