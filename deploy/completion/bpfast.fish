# SPDX-License-Identifier: Apache-2.0
# Completion of bpfast for fish; install in /usr/share/fish/vendor_completions.d

function __bpfast_endpoints
    bpfast endpoint list 2>/dev/null | awk 'NR > 1 { print $1 "/" $2 }'
end

function __bpfast_containers
    bpfast endpoint discover 2>/dev/null | awk 'NR > 1 { print $1 }'
end

function __bpfast_policies
    bpfast policy list 2>/dev/null | awk 'NR > 1 { print $2 == "-" ? $1 "/" $3 : $1 "/" $2 "/" $3 }'
end

function __bpfast_at
    set -l words (commandline -opc)
    string match -q -- "* $argv" "$words"; or string match -q -- "* $argv *" "$words"
end

set -l nouns status endpoint policy observe replay shield metrics doctor down version help
complete -c bpfast -f
complete -c bpfast -l run-dir -r -d 'where the socket is'
complete -c bpfast -s o -l output -x -a 'text json compact' -d format
complete -c bpfast -l help -d help
complete -c bpfast -n "not __fish_seen_subcommand_from $nouns" -a "$nouns"
complete -c bpfast -n '__fish_seen_subcommand_from endpoint; and not __fish_seen_subcommand_from add discover list get label delete' -a 'add discover list get label delete'
complete -c bpfast -n '__fish_seen_subcommand_from policy; and not __fish_seen_subcommand_from apply delete list get check explain' -a 'apply delete list get check explain'
complete -c bpfast -n '__bpfast_at endpoint add' -l iface -x -a '(ls /sys/class/net)' -d 'host side of the veth'
complete -c bpfast -n '__bpfast_at endpoint add' -l ip -x
complete -c bpfast -n '__bpfast_at endpoint add' -l label -x
complete -c bpfast -n '__bpfast_at endpoint add' -l namespace -x
complete -c bpfast -n '__bpfast_at endpoint add' -l port -x
complete -c bpfast -n '__bpfast_at endpoint add' -l container -x -a '(__bpfast_containers)' -d 'container that runs'
complete -c bpfast -n '__bpfast_at endpoint discover' -l all -d 'all network namespaces'
complete -c bpfast -n '__bpfast_at endpoint discover' -l add-all -d 'guard all that are not guarded'
complete -c bpfast -n '__bpfast_at endpoint discover' -l label -x
complete -c bpfast -n '__bpfast_at endpoint discover' -l namespace -x
complete -c bpfast -n '__bpfast_at endpoint add; or __bpfast_at endpoint discover' -l no-labels
complete -c bpfast -n '__bpfast_at endpoint add; or __bpfast_at endpoint discover' -l containerd-state -r
complete -c bpfast -n '__bpfast_at endpoint add; or __bpfast_at endpoint discover' -l containerd-socket -r -F
complete -c bpfast -n '__bpfast_at endpoint add; or __bpfast_at endpoint discover' -l docker-socket -r -F
complete -c bpfast -n '__bpfast_at endpoint add; or __bpfast_at endpoint discover' -l podman-socket -r -F
complete -c bpfast -n '__bpfast_at endpoint add; or __bpfast_at endpoint discover' -l netns-dir -r
complete -c bpfast -n '__bpfast_at endpoint get; or __bpfast_at endpoint label; or __bpfast_at endpoint delete' -a '(__bpfast_endpoints)'
complete -c bpfast -n '__bpfast_at policy apply; or __bpfast_at policy check; or __bpfast_at policy delete' -s f -l filename -r -F
complete -c bpfast -n '__bpfast_at policy get; or __bpfast_at policy delete' -a '(__bpfast_policies)'
complete -c bpfast -n '__bpfast_at policy explain' -l from -x -a 'host (__bpfast_endpoints)'
complete -c bpfast -n '__bpfast_at policy explain' -l to -x -a 'host (__bpfast_endpoints)'
complete -c bpfast -n '__bpfast_at policy explain' -l port -x
complete -c bpfast -n '__bpfast_at policy explain' -l http -x
complete -c bpfast -n '__bpfast_at policy explain' -l header -x
complete -c bpfast -n '__bpfast_at policy explain' -l raw -r
complete -c bpfast -n '__bpfast_at policy explain' -s f -l filename -r -F -d 'ask these policies, offline'
complete -c bpfast -n '__bpfast_at policy explain' -l endpoint-file -r -F -d 'with -f: endpoints'
complete -c bpfast -n '__fish_seen_subcommand_from observe' -s F -l follow
complete -c bpfast -n '__fish_seen_subcommand_from observe' -l last -x
complete -c bpfast -n '__fish_seen_subcommand_from observe' -l verdict -x -a 'forwarded dropped audit'
complete -c bpfast -n '__fish_seen_subcommand_from observe' -l protocol -x -a 'http tcp udp sctp icmp icmpv6'
complete -c bpfast -n '__fish_seen_subcommand_from observe' -l endpoint -x -a '(__bpfast_endpoints)'
complete -c bpfast -n '__fish_seen_subcommand_from observe' -l show-query
complete -c bpfast -n '__fish_seen_subcommand_from replay' -F
complete -c bpfast -n '__fish_seen_subcommand_from replay' -l policy -r -F -d objects
complete -c bpfast -n '__fish_seen_subcommand_from replay' -l rules -r -F -d rules
complete -c bpfast -n '__fish_seen_subcommand_from replay' -l endpoint -x -d 'NS/NAME=ADDR,K=V'
complete -c bpfast -n '__fish_seen_subcommand_from replay' -l endpoint-file -r -F -d pods
complete -c bpfast -n '__fish_seen_subcommand_from replay' -l node -x -d 'address of the node'
complete -c bpfast -n '__fish_seen_subcommand_from replay' -l show-query
set -l shield attach detach status top detect capture block unblock allow unallow list limit http cookies
complete -c bpfast -n "__fish_seen_subcommand_from shield; and not __fish_seen_subcommand_from $shield" -a "$shield"
complete -c bpfast -n '__bpfast_at shield attach; or __bpfast_at shield detach' -a '(ls /sys/class/net)'
complete -c bpfast -n '__bpfast_at shield attach' -l mode -x -a 'enforce audit off'
complete -c bpfast -n '__bpfast_at shield attach' -l native -d 'XDP in the driver'
complete -c bpfast -n '__bpfast_at shield attach' -l generic -d 'XDP in the core'
complete -c bpfast -n '__bpfast_at shield attach' -l offload -d 'XDP in the hardware'
complete -c bpfast -n '__bpfast_at shield attach' -l tc -d 'at TC'
complete -c bpfast -n '__bpfast_at shield attach' -l pod -d 'a pod behind its veth'
complete -c bpfast -n '__bpfast_at shield attach' -l shared -d 'in the dispatcher of libxdp'
complete -c bpfast -n '__bpfast_at shield block; or __bpfast_at shield allow' -l for -x -d 'ends by itself'
complete -c bpfast -n '__bpfast_at shield block; or __bpfast_at shield allow' -l file -r -F
complete -c bpfast -n '__bpfast_at shield block; or __bpfast_at shield allow' -l replace
complete -c bpfast -n '__bpfast_at shield list' -l limit -x
complete -c bpfast -n '__bpfast_at shield limit' -a 'syn out-of-state udp icmp fragment other'
complete -c bpfast -n '__bpfast_at shield limit' -l source -x
complete -c bpfast -n '__bpfast_at shield limit' -l prefix -x
complete -c bpfast -n '__bpfast_at shield limit' -l destination -x
complete -c bpfast -n '__bpfast_at shield limit' -l defaults
complete -c bpfast -n '__bpfast_at shield detect' -l mode -x -a 'enforce audit off'
complete -c bpfast -n '__bpfast_at shield detect' -l sensitivity -x -a 'low medium high'
complete -c bpfast -n '__bpfast_at shield capture' -l write -r -F
complete -c bpfast -n '__bpfast_at shield capture' -l seconds -x
complete -c bpfast -n '__bpfast_at shield capture' -l payload -d 'what is behind the headers too'
complete -c bpfast -n '__bpfast_at shield http' -l mode -x -a 'enforce audit off as-devices'
for limit in slow-per-source slow-per-service connections requests path-requests head-seconds bytes strikes block-seconds
	complete -c bpfast -n '__bpfast_at shield http' -l $limit -x
end
complete -c bpfast -n '__bpfast_at shield http' -l defaults
complete -c bpfast -n '__bpfast_at shield cookies' -a 'on off'
complete -c bpfast -n '__bpfast_at shield cookies' -l always
complete -c bpfast -n '__bpfast_at shield cookies' -l netns -x
complete -c bpfast -n '__bpfast_at shield top' -l interval -x
complete -c bpfast -n '__bpfast_at shield top' -l count -x
complete -c bpfast -n '__fish_seen_subcommand_from down' -l pin-dir -r
