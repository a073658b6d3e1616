# Loads this tier into bash or zsh:  source .../production/etc/profile.sh
#
# Written by tierctl; your own settings go into profile.d/*.sh. The tier's
# directory is written into this file and never looked up through a link, so a
# promotion while a shell reads it cannot mix two tiers. It starts no program.
# "\builtin" keeps the user's aliases and functions out; before ".", it would let
# an ERR trap of bash see what an "if" looks at.

if [ -z "${BASH_VERSION-}${ZSH_VERSION-}" ]; then
    echo "tierctl: nothing loaded, profile.sh is for bash and zsh" >&2
    return 0
fi

if [[ -n ${BASH_VERSION-} && ${BASH_SOURCE[0]-} == "$0" && ${BASH_LINENO[0]-0} == 0 ||
    -n ${ZSH_VERSION-} && ${ZSH_EVAL_CONTEXT-} == toplevel ]]; then
    \builtin printf '%s\n' "tierctl: nothing loaded: a profile is sourced, not executed. Type: source $0" >&2
    exit 1
fi

if [[ ! -d @IAC_TIER_DIR@ ]]; then
    \builtin printf '%s\n' "tierctl: nothing loaded: "@IAC_TIER_DIR@" is gone. Was the target moved or copied? Then it has to be built again." >&2
    return 0
fi

# With -u, an unset variable in a script of profile.d would end the login, and an
# empty array would be one before bash 4.4.
_iac_options=$-
set +eu

if [[ -n ${ZSH_VERSION-} ]]; then
    _iac_sourced="${(%):-%x}"
else
    _iac_sourced=${BASH_SOURCE[0]-}
fi

function _iac_warn {
    \builtin printf '%s\n' "$1" >&2
}

# Sets _iac_found to the paths that are $1, a name without a leading dot, and
# $2, in name order, whatever the user's options and locale.
function _iac_find {
    local LC_ALL=C
    if [[ -n ${ZSH_VERSION-} ]]; then
        emulate -LR zsh
        setopt null_glob
        _iac_found=("$1"[!.]*"$2")
        return
    fi
    local noglob='' failglob=''
    case $- in *f*) noglob=on && set +f ;; esac
    ! shopt -q failglob || { failglob=on && shopt -u failglob; }
    _iac_found=("$1"[!.]*"$2")
    [[ -z $failglob ]] || shopt -s failglob
    [[ -z $noglob ]] || set -f
    # Where nothing matches, bash leaves the pattern.
    [[ -e ${_iac_found-} || -L ${_iac_found-} ]] || _iac_found=()
} # Callers discard stderr: bash complains about an invalid LC_ALL when it comes back.

# Sets IAC_TIER_NAME to the tier in the path $1, as it was sourced. A path
# without one (source etc/profile.sh) leaves the links that lead here, at last
# the directory itself.
function _iac_set_name {
    local name=${1%/etc/profile.sh} link
    name=${name##*/}
    IAC_TIER_NAME=${IAC_TIER_DIR##*/}
    if [[ $name != .* && -e $IAC_DIR/$name/etc/profile.sh ]]; then
        IAC_TIER_NAME=$name
    elif [[ $name != "$IAC_TIER_NAME" ]]; then
        for link in green blue staging production; do
            [[ ! $IAC_DIR/$link -ef $IAC_TIER_DIR ]] || IAC_TIER_NAME=$link
        done
    fi
}

# Runs what the environments of the loaded tier have for their end. A script that
# fails is told of, and the next one runs.
function _iac_deactivate {
    local _iac_found _iac_environments _iac_prefix _iac_item
    _iac_find "$IAC_TIER_DIR/conda/envs/" '' 2>/dev/null
    _iac_environments=("${_iac_found[@]}")
    for _iac_prefix in "${_iac_environments[@]}"; do
        _iac_find "$_iac_prefix/etc/conda/deactivate.d/" .sh 2>/dev/null
        for _iac_item in "${_iac_found[@]}"; do
            export CONDA_PREFIX="$_iac_prefix"
            if [[ ! -f $_iac_item || ! -r $_iac_item ]]; then
                _iac_warn "tierctl: cannot read $_iac_item"
            else
                # 1 is what a script's last [ ... ] && ... ends with.
                \. "$_iac_item" || [[ $? == 1 ]] || _iac_warn "tierctl: $_iac_item failed"
            fi
        done
    done
    unset -v CONDA_PREFIX
    [[ -z ${_iac_original_prefix+set} ]] || export CONDA_PREFIX="$_iac_original_prefix"
}

# Sets _iac_value to what the variable $1 holds; fails where there is none.
function _iac_read {
    if [[ -n ${ZSH_VERSION-} ]]; then
        [[ -n ${(P)1+set} ]] && _iac_value=${(P)1}
    else
        [[ -n ${!1+set} ]] && _iac_value=${!1}
    fi
}

# Unsets the variable $1; fails where it is read-only. zsh would end the load at that.
function _iac_unset {
    [[ -z ${ZSH_VERSION-} || ${(Pt)1} != *readonly* ]] && \unset -v "$1" 2>/dev/null
}

# Exports the variable $1 as $2, and notes what it was before.
function _iac_set {
    local _iac_value _iac_was_set=''
    ! _iac_read "$1" || _iac_was_set=yes
    \unset -v "_iac_before_$1"
    # Without the attributes that it had: an integer's value would be computed.
    if _iac_unset "$1"; then
        [[ -z $_iac_was_set ]] || export "_iac_before_$1=$_iac_value"
        export "$1=$2" "_iac_variables=${_iac_variables-}$1 "
    else
        _iac_warn "tierctl: $1 is read-only here and stays as it is"
    fi
}

# Takes back what _iac_set has done.
function _iac_restore {
    local _iac_name _iac_value
    while [[ ${_iac_variables-} == *' '* ]]; do
        _iac_name=${_iac_variables%% *}
        _iac_variables=${_iac_variables#* }
        if [[ $_iac_name != *[!A-Za-z0-9_]* ]] && _iac_unset "$_iac_name"; then
            ! _iac_read "_iac_before_$_iac_name" || export "$_iac_name=$_iac_value"
            \unset -v "_iac_before_$_iac_name"
        fi
    done
    \unset -v _iac_variables
}

if [[ -n ${IAC_ORIGINAL_PATH+set} ]]; then
    [[ -z ${IAC_TIER_DIR-} ]] || _iac_deactivate
    _iac_restore
fi

export IAC_TIER_DIR=@IAC_TIER_DIR@
export IAC_DIR=@IAC_DIR@
export IAC_PARENT=@IAC_PARENT@
export IAC_DEPLOYMENT=@IAC_DEPLOYMENT@
export IAC_TIER_NAME
_iac_set_name "$_iac_sourced"

if [[ -z ${IAC_ORIGINAL_PATH+set} ]]; then
    export IAC_ORIGINAL_PATH="${PATH-}"
    unset -v _iac_original_condarc _iac_original_prefix _iac_variables
    [[ -z ${CONDARC+set} ]] || export _iac_original_condarc="$CONDARC"
    [[ -z ${CONDA_PREFIX+set} ]] || export _iac_original_prefix="$CONDA_PREFIX"
fi
export CONDARC="$IAC_TIER_DIR/etc/condarc"
@IAC_VARIABLES@
# The environments as they come on PATH; a plain directory may get others.
_iac_environments=(@IAC_ENVIRONMENTS@)
if [[ ${#_iac_environments[@]} == 0 ]]; then
    _iac_find "$IAC_TIER_DIR/conda/envs/" '' 2>/dev/null
    _iac_environments=("${_iac_found[@]##*/}")
fi
_iac_path=$IAC_TIER_DIR/bin
_iac_scripts=()
for _iac_item in "${_iac_environments[@]}"; do
    [[ ! -d $IAC_TIER_DIR/conda/envs/$_iac_item/bin ]] ||
        _iac_path+=":$IAC_TIER_DIR/conda/envs/$_iac_item/bin"
    _iac_find "$IAC_TIER_DIR/conda/envs/$_iac_item/etc/conda/activate.d/" .sh 2>/dev/null
    _iac_scripts+=("${_iac_found[@]}")
done
# The first one's; while a script of another runs, that one's.
_iac_prefix=("${_iac_environments[@]:0:1}")
# An empty entry would be the working directory.
export PATH="$_iac_path${IAC_ORIGINAL_PATH:+:$IAC_ORIGINAL_PATH}"

function iac_load {
    if [[ $# != 1 || ${1-} == .* || ${1-} == */* || ! -r $IAC_DIR/${1:-.}/etc/profile.sh ]]; then
        local _iac_found IFS=' '
        _iac_find_tiers
        _iac_warn "iac_load: ${1:+there is no tier $1 to load. }Usage: iac_load TIER"
        _iac_warn "Tiers in $IAC_DIR: ${_iac_found[*]-}"
        return 1
    fi
    local _iac_tier=$1
    shift # profile.d is not to take the tier for an argument of its own
    \. "$IAC_DIR/$_iac_tier/etc/profile.sh"
}

function iac_reload {
    if [[ $IAC_TIER_NAME == "$IAC_DEPLOYMENT" ]]; then
        \. "$IAC_TIER_DIR/etc/profile.sh"
    else
        iac_load "$IAC_TIER_NAME"
    fi
}

function iac_unload {
    local _iac_options=$-
    set +eu
    _iac_deactivate
    _iac_restore
    [[ $_iac_options != *e* ]] || set -e
    [[ $_iac_options != *u* ]] || set -u
    export PATH="$IAC_ORIGINAL_PATH"
    unset -v CONDARC
    [[ -z ${_iac_original_condarc+set} ]] || export CONDARC="$_iac_original_condarc"
    unset -v IAC_TIER_DIR IAC_TIER_NAME IAC_DIR IAC_PARENT IAC_DEPLOYMENT IAC_ORIGINAL_PATH
    unset -v _iac_original_condarc _iac_original_prefix
    if typeset -f compdef >/dev/null; then
        compdef -d iac_load
    elif [[ $- == *i* && -n ${BASH_VERSION-} ]]; then
        complete -r iac_load 2>/dev/null
    fi
    unset -f iac_load iac_reload iac_unload iac_status iac_dump_vars
    unset -f _iac_warn _iac_find _iac_find_tiers _iac_set_name _iac_complete _iac_deactivate
    unset -f _iac_read _iac_unset _iac_set _iac_restore
}

function iac_status {
    \builtin printf '%-11s %s\n' tier "$IAC_TIER_NAME" directory "$IAC_TIER_DIR" \
        deployment "${IAC_DEPLOYMENT:-none, a plain directory}"
    local link=$IAC_DIR/$IAC_TIER_NAME now
    # A network filesystem's links are looked up anew after their directory was opened.
    { \builtin true < "$IAC_DIR"; } 2>/dev/null || \builtin true
    if [[ $IAC_TIER_NAME == "$IAC_DEPLOYMENT" || $link -ef $IAC_TIER_DIR ]]; then
        return 0
    elif [[ ! -e $link ]]; then
        \builtin printf '%s is gone: type iac_load TIER\n' "$IAC_TIER_NAME"
    else
        # zsh's -q keeps the user's chpwd hooks out.
        now=$(\builtin cd ${ZSH_VERSION:+-q} -P -- "$link" && \builtin pwd -P)
        \builtin printf '%s has moved on to %s: type iac_reload\n' "$IAC_TIER_NAME" "${now##*/}"
    fi
}

function iac_dump_vars {
    \builtin printf '%s=%s\n' IAC_TIER_DIR "$IAC_TIER_DIR" IAC_TIER_NAME "$IAC_TIER_NAME" \
        IAC_DIR "$IAC_DIR" IAC_PARENT "$IAC_PARENT" IAC_ORIGINAL_PATH "$IAC_ORIGINAL_PATH" \
        IAC_DEPLOYMENT "$IAC_DEPLOYMENT" CONDARC "$CONDARC"
}

# Sets _iac_found to the names of the tiers that can be loaded.
function _iac_find_tiers {
    _iac_find "$IAC_DIR/" /etc/profile.sh 2>/dev/null
    _iac_found=("${_iac_found[@]%/etc/profile.sh}")
    _iac_found=("${_iac_found[@]##*/}")
}

function _iac_complete {
    local _iac_found tier
    _iac_find_tiers
    if [[ -n ${ZSH_VERSION-} ]]; then
        compadd -- "${_iac_found[@]}"
    elif [[ $COMP_CWORD == 1 ]]; then
        for tier in "${_iac_found[@]}"; do
            [[ $tier != "$2"* ]] || COMPREPLY+=("$tier")
        done
    fi
}

if [[ $- == *i* ]]; then
    if [[ -n ${BASH_VERSION-} ]]; then
        complete -F _iac_complete iac_load
    elif typeset -f compdef >/dev/null; then
        compdef _iac_complete iac_load
    fi
fi

# Last, and not in a function, where a script's "declare" would stay local.
_iac_find "$IAC_TIER_DIR/etc/profile.d/" .sh 2>/dev/null
for _iac_item in "${_iac_scripts[@]}" "${_iac_found[@]}" ''; do
    set +eu
    if [[ $_iac_item == "$IAC_TIER_DIR/conda/envs/"* ]]; then
        export CONDA_PREFIX="${_iac_item%/etc/conda/activate.d/*}"
    elif [[ -n ${_iac_prefix[*]} ]]; then
        export CONDA_PREFIX="$IAC_TIER_DIR/conda/envs/${_iac_prefix[*]}"
    fi
    # So that a deploy, which tries this out, can tell which script prints what.
    [[ -z ${_iac_trial-} ]] || _iac_warn "$_iac_trial $_iac_item"
    if [[ -z $_iac_item ]]; then
        break # the prefix is set now, with or without scripts
    elif [[ ! -f $_iac_item || ! -r $_iac_item ]]; then
        _iac_warn "tierctl: cannot read $_iac_item"
    else
        \. "$_iac_item" || [[ $? == 1 ]] || _iac_warn "tierctl: $_iac_item failed"
    fi
done

[[ $_iac_options == *e* ]] && set -e || set +e
[[ $_iac_options == *u* ]] && set -u || set +u
unset -v _iac_found _iac_item _iac_path _iac_sourced _iac_options
unset -v _iac_environments _iac_scripts _iac_prefix
