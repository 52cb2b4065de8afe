# What is the same whatever the table holds. Before it stand, made from the table: _devtrustctl_first (first words),
# _devtrustctl_family (second words), _devtrustctl_command (options, each NAME or NAME=KIND, and the kinds of the operands).
# shellcheck shell=bash disable=SC2154

# The words up to the cursor as they were typed, since readline cuts them at = and : too. Sets words; the last one is being typed.
_devtrustctl_words() {
    local left=${COMP_LINE:0:COMP_POINT} blank part i
    words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        blank=${left%%[![:blank:]]*}
        left=${left:${#blank}}
        part=${COMP_WORDS[i]}
        ((i < COMP_CWORD)) || part=$left
        left=${left:${#part}}
        if ((i > 0)) && [[ -z $blank && -n $part ]]; then
            words[${#words[@]} - 1]+=$part
        else
            words[${#words[@]}]=$part
        fi
    done
}

# _devtrustctl_match WORD…: those that begin as what is being typed. Nothing is expanded: some come from the daemon.
_devtrustctl_match() {
    local word
    for word in "$@"; do
        [[ $word != "$cur"* ]] || COMPREPLY[${#COMPREPLY[@]}]=$prefix$word
    done
}

# What only the daemon knows: at once, or nothing.
_devtrustctl_ask() {
    local word asked=("$program" completion "$1")
    [[ -z $socket ]] || asked+=(--socket "$socket")
    while IFS= read -r word; do
        _devtrustctl_match "$word"
    done < <("${asked[@]}" </dev/null 2>/dev/null)
}

_devtrustctl_files() {
    local file
    compopt -o default 2>/dev/null && return # readline knows best: quotes, ~, directories
    while IFS= read -r file; do
        COMPREPLY[${#COMPREPLY[@]}]=$prefix$file
    done < <(compgen -f -- "$cur")
}

# _devtrustctl_argument KIND
_devtrustctl_argument() {
    local IFS=$' \t\n'
    case $1 in
    file) _devtrustctl_files ;;
    user) _devtrustctl_ask users ;;
    method) _devtrustctl_ask methods ;;
    interface) _devtrustctl_ask interfaces ;;
    code) _devtrustctl_match $_devtrustctl_codes ;;
    words:*) IFS='|' && _devtrustctl_match ${1#words:} ;;
    esac
}

# Sets kind to what an option takes; fails if it takes nothing.
_devtrustctl_kind_of() {
    local option
    for option in $options; do
        [[ $option != "$1="* ]] || { kind=${option#*=} && return 0; }
    done
    return 1
}

_devtrustctl_offer_options() {
    local option
    for option in $options; do
        option=${option%%=*}
        [[ $given == *" $option "* ]] || _devtrustctl_match "--$option"
    done
}

# Goes through the complete words of a command's arguments. Sets given, index (of the next operand), pending (kind of the
# argument that an option waits for), only_operands, socket.
_devtrustctl_arguments_so_far() {
    local word option kind last_option='' i
    for ((i = $1; i < ${#words[@]} - 1; i++)); do
        word=${words[i]}
        if [[ -n $pending ]]; then
            [[ $last_option != socket ]] || socket=$word
            pending=
        elif [[ -n $only_operands || $word != -?* ]]; then
            index=$((index + 1))
        elif [[ $word == -- ]]; then
            only_operands=1
        else
            option=${word#--}
            last_option=${option%%=*}
            given+="$last_option "
            [[ $option != socket=* ]] || socket=${option#*=}
            [[ $option == *=* ]] || ! _devtrustctl_kind_of "$option" || pending=$kind
        fi
    done
}

_devtrustctl_arguments() {
    local index=0 pending='' only_operands='' given=' ' socket='' kind
    _devtrustctl_arguments_so_far "$1"
    if [[ -n $pending ]]; then
        _devtrustctl_argument "$pending"
    elif [[ -z $only_operands && $cur == --*=* ]]; then
        _devtrustctl_kind_of "$(local option=${cur#--} && printf %s "${option%%=*}")" || return 0
        [[ $COMP_WORDBREAKS == *=* ]] || prefix=${cur%%=*}=
        cur=${cur#*=}
        _devtrustctl_argument "$kind"
    elif [[ -z $only_operands && $cur == -?* ]]; then
        _devtrustctl_offer_options
    else
        local kinds
        read -ra kinds <<<"$operands"
        _devtrustctl_argument "${kinds[index]-}"
        # where nothing else is left to say, what more could be said
        [[ -n $only_operands || -n $cur || -n ${kinds[index]-} ]] || _devtrustctl_offer_options
    fi
}

_devtrustctl() {
    local IFS=$' \t\n' words cur program=$1 prefix='' options='' operands='' seconds='' command
    COMPREPLY=()
    _devtrustctl_words
    local last=$((${#words[@]} - 1))
    cur=${words[last]}
    if ((last == 1)); then
        _devtrustctl_match $_devtrustctl_first
        [[ $cur != -* ]] || _devtrustctl_match --help --version
        return 0
    fi
    command=${words[1]}
    local begin=2
    if _devtrustctl_family "$command"; then
        if ((last == 2)); then
            _devtrustctl_match $seconds
            [[ $cur != -* ]] || _devtrustctl_match --help
            return 0
        fi
        command+=" ${words[2]}"
        begin=3
    fi
    _devtrustctl_command "$command" || return 0
    _devtrustctl_arguments "$begin"
}

complete -F _devtrustctl devtrustctl
