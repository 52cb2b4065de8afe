# What is the same whatever the table holds. Before it stand, made from the table: _devtrustctl_first (first words),
# _devtrustctl_family (second words), _devtrustctl_command (specifications for _arguments), _devtrustctl_codes.

# _devtrustctl_ask KIND, then what compadd gets: what only the daemon knows; at once, or nothing.
_devtrustctl_ask() {
    local kind=$1
    local -a asked values
    shift
    asked=($_devtrustctl_program completion $kind)
    local -i at=${words[(I)--socket]}
    (( at && at < $#words )) && asked+=(--socket "${(Q)words[at + 1]}")
    at=${words[(I)--socket=*]}
    (( at )) && asked+=(--socket "${(Q)words[at]#--socket=}")
    values=("${(@f)$("${asked[@]}" </dev/null 2>/dev/null)}")
    compadd "$@" -- ${values:#}
}

_devtrustctl_users() { _devtrustctl_ask users "$@" }
_devtrustctl_methods() { _devtrustctl_ask methods "$@" }
_devtrustctl_interfaces() { _devtrustctl_ask interfaces "$@" }

_devtrustctl() {
    local curcontext=$curcontext state line name
    local -a first seconds specifications
    local -A opt_args
    local _devtrustctl_program=${(Q)words[1]}
    integer begin=2
    local help='(- *)--help[Say what a command does and takes.]'
    if (( CURRENT > 2 )); then
        name=$words[2]
        _devtrustctl_family $name && begin=3
        (( CURRENT > begin && begin == 3 )) && name+=" $words[3]"
    fi
    if (( CURRENT > begin )); then
        _devtrustctl_command $name || return 1
        words=("devtrustctl $name" "${(@)words[begin + 1,-1]}")
        (( CURRENT -= begin - 1 ))
    elif [[ $words[CURRENT] == -* ]]; then # instead of a command's first or second word
        specifications=($help)
        (( CURRENT > 2 )) || specifications+='(- *)--version[Print the version.]'
        words=("devtrustctl $name" "${(@)words[begin,-1]}")
        CURRENT=2
    elif (( CURRENT == 2 )); then
        _devtrustctl_first
        _describe -t commands command first
        return
    else
        _describe -t commands "$name command" seconds
        return
    fi
    _arguments -S $specifications
}

# autoloaded: this file is the function; sourced: it defines it
if [[ $funcstack[1] == _devtrustctl ]]; then
    _devtrustctl "$@"
else
    compdef _devtrustctl devtrustctl
fi
