# SPDX-License-Identifier: Apache-2.0
# Completion of bpfast for bash; install as /usr/share/bash-completion/completions/bpfast
# shellcheck shell=bash

_bpfast_ask() { # what there is: endpoints, containers or policies
	local run="$1" what="$2"
	local cmd=(bpfast)
	[ -n "$run" ] && cmd+=(--run-dir "$run")
	case $what in
	endpoints) "${cmd[@]}" endpoint list 2>/dev/null | awk 'NR > 1 { print $1 "/" $2 }' ;;
	containers) "${cmd[@]}" endpoint discover 2>/dev/null | awk 'NR > 1 { print $1 }' ;;
	policies) "${cmd[@]}" policy list 2>/dev/null |
		awk 'NR > 1 { print $2 == "-" ? $1 "/" $3 : $1 "/" $2 "/" $3 }' ;;
	esac
}

_bpfast() {
	local cur prev words cword
	if declare -F _init_completion >/dev/null; then
		_init_completion -n =: || return
	else
		cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD - 1]}"
		words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
	fi
	local noun="" verb="" run="" i
	for ((i = 1; i < cword; i++)); do
		case ${words[i]} in
		--run-dir) run="${words[++i]}" ;;
		-o | --output | --pin-dir) ((i++)) ;;
		-*) ;;
		*) if [ -z "$noun" ]; then noun="${words[i]}"; elif [ -z "$verb" ]; then verb="${words[i]}"; fi ;;
		esac
	done
	case $prev in
	-o | --output)
		local formats="text json"
		[ "$noun" = observe ] && formats="compact json"
		mapfile -t COMPREPLY < <(compgen -W "$formats" -- "$cur")
		return ;;
	--run-dir | --pin-dir) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	--mode) mapfile -t COMPREPLY < <(compgen -W "enforce audit off" -- "$cur"); return ;;
	-f | --filename | --file | --policy | --rules | --endpoint-file | --raw) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	--container) mapfile -t COMPREPLY < <(compgen -W "$(_bpfast_ask "$run" containers)" -- "$cur"); return ;;
	--containerd-socket | --docker-socket | --podman-socket) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	--containerd-state | --netns-dir) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	--iface) mapfile -t COMPREPLY < <(compgen -W "$(ls /sys/class/net)" -- "$cur"); return ;;
	--from | --to)
		mapfile -t COMPREPLY < <(compgen -W "host $(_bpfast_ask "$run" endpoints)" -- "$cur")
		return ;;
	--endpoint) [ "$noun" = replay ] && return
		mapfile -t COMPREPLY < <(compgen -W "$(_bpfast_ask "$run" endpoints)" -- "$cur"); return ;;
	--verdict) mapfile -t COMPREPLY < <(compgen -W "forwarded dropped audit" -- "$cur"); return ;;
	--protocol) mapfile -t COMPREPLY < <(compgen -W "http tcp udp sctp icmp icmpv6" -- "$cur"); return ;;
	esac
	local words_here="--run-dir --output --help"
	case "$noun $verb" in
	" ") words_here+=" status endpoint policy observe replay shield metrics doctor down version help" ;;
	"endpoint ") words_here+=" add discover list get label delete" ;;
	"policy ") words_here+=" apply delete list get check explain" ;;
	"endpoint add") words_here+=" --iface --container --ip --label --no-labels --namespace --port --containerd-state --containerd-socket --docker-socket --podman-socket --netns-dir" ;;
	"endpoint discover") words_here+=" --all --add-all --label --no-labels --namespace --containerd-state --containerd-socket --docker-socket --podman-socket --netns-dir" ;;
	"endpoint get" | "endpoint delete" | "endpoint label") words_here+=" $(_bpfast_ask "$run" endpoints)" ;;
	"policy apply" | "policy check") words_here+=" --filename" ;;
	"policy delete") words_here+=" --filename $(_bpfast_ask "$run" policies)" ;;
	"policy get") words_here+=" $(_bpfast_ask "$run" policies)" ;;
	"policy explain") words_here+=" --from --to --port --http --header --raw --filename --endpoint-file" ;;
	"observe "*) words_here+=" --follow --last --verdict --protocol --endpoint --show-query" ;;
	"shield ") words_here+=" attach detach status top detect capture block unblock allow unallow list limit http cookies" ;;
	"shield attach") words_here+=" --mode --native --generic --offload --tc --pod --shared $(ls /sys/class/net)" ;;
	"shield detach") words_here+=" $(ls /sys/class/net)" ;;
	"shield block" | "shield allow") words_here+=" --for --file --replace" ;;
	"shield list") words_here+=" --limit" ;;
	"shield limit") words_here+=" --source --prefix --destination --defaults syn out-of-state udp icmp fragment other" ;;
	"shield detect") words_here+=" --mode --sensitivity" ;;
	"shield capture") words_here+=" --write --seconds --payload" ;;
	"shield http") words_here+=" --mode --slow-per-source --slow-per-service --connections --requests --path-requests --head-seconds --bytes --strikes --block-seconds --defaults" ;;
	"shield cookies") words_here+=" on off --always --netns" ;;
	"shield top") words_here+=" --interval --count" ;;
	"replay "*)
		words_here+=" --policy --rules --endpoint --endpoint-file --node --show-query"
		mapfile -t COMPREPLY < <(compgen -W "$words_here" -- "$cur"; compgen -f -- "$cur")
		return ;;
	"down "*) words_here+=" --pin-dir" ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words_here" -- "$cur")
}

complete -F _bpfast bpfast
