# Loads this tier into tcsh:  source .../production/etc/profile.csh
#
# Written by tierctl; your own settings go into profile.d/*.csh. The tier's
# directory is written into this file and never looked up through a link, so a
# promotion while a shell reads it cannot mix two tiers. It starts no program.
#
# The aliases come back here with an argument, since an alias cannot hold an
# if-then-endif, and a one-line if expands even what it does not execute. csh
# cannot write to stderr: for a warning, and only then, it asks sh.
# What csh cannot do: keep out an alias of the user's for source or set; go on
# after a syntax error or an undefined variable in profile.d, which ends this
# file, too, hence profile.d comes last and nothing depends on what follows.

# The loaded tier knows what its environments have for their end. It comes first,
# since it unsets all that is called _iac_.
if ( $?IAC_TIER_DIR && $?IAC_ORIGINAL_PATH && ( "$1" == "" || "$1" == _iac_named ) ) then
    if ( -r "$IAC_TIER_DIR/etc/profile.csh" ) source "$IAC_TIER_DIR/etc/profile.csh" _iac_deactivate
endif

# What was typed, if anything was; $_ would be parsed again, quotes and all.
set _iac_typed = "`history -h 1`"
set _iac_status = 0
set _iac_newline = '\
'
set _iac_noglob = $?noglob _iac_nonomatch = $?nonomatch
unset noglob
set nonomatch
set _iac_scripts = ( @IAC_TIER_DIR@/etc/profile.d/*.csh )
set _iac_environments = ( @IAC_ENVIRONMENTS@ )
if ( ! $#_iac_environments ) then
    set _iac_environments = ( @IAC_TIER_DIR@/conda/envs/* )
    set _iac_environments = ( $_iac_environments:gt:q )
endif
set _iac_begin = ( @IAC_TIER_DIR@/conda/envs/*/etc/conda/activate.d/*.csh )
set _iac_end = ( @IAC_TIER_DIR@/conda/envs/*/etc/conda/deactivate.d/*.csh )
# This opens the directory, after which a network filesystem's links are looked up anew.
set _iac_tiers = ( @IAC_DIR@/*/etc/profile.csh )
if ( ! $_iac_nonomatch ) unset nonomatch
if ( $_iac_noglob ) set noglob

set _iac_wanted = "$1"
set _iac_item = @IAC_TIER_DIR@
if ( ! -d "$_iac_item" ) set _iac_wanted = _iac_gone

switch ( "$_iac_wanted" )
case _iac_gone:
    /bin/sh -c 'echo "$*" >&2' - "tierctl: nothing loaded: $_iac_item is gone. Was the target moved or copied? Then it has to be built again."
    breaksw
case _iac_load:
    if ( $#argv != 2 || "$2" =~ .* || "$2" =~ */* || ! -r "$IAC_DIR/$2/etc/profile.csh" ) then
        /bin/sh -c 'echo "$*" >&2' - "iac_load: there is no tier '$2' to load. Usage: iac_load TIER"
        /bin/sh -c 'echo "$*" >&2' - "Tiers in ${IAC_DIR}:" $_iac_tiers:gh:gh:gt:q
        set _iac_status = 1
    else
        source "$IAC_DIR/$2/etc/profile.csh" _iac_named "$2"
        set _iac_status = $status # the other profile has unset it
    endif
    breaksw
case _iac_status:
    echo -n "tier        "; printenv IAC_TIER_NAME
    echo -n "directory   "; printenv IAC_TIER_DIR
    if ( "$IAC_DEPLOYMENT" == "" ) echo "deployment  none, a plain directory"
    if ( "$IAC_DEPLOYMENT" != "" ) echo "deployment  $IAC_DEPLOYMENT"
    if ( "$IAC_TIER_NAME" == "$IAC_DEPLOYMENT" ) then
    else if ( ! -e "$IAC_DIR/$IAC_TIER_NAME" ) then
        echo "$IAC_TIER_NAME is gone: type iac_load TIER"
    else if ( -F "$IAC_DIR/$IAC_TIER_NAME" != -F "$IAC_TIER_DIR" ) then
        echo "$IAC_TIER_NAME has moved on: type iac_reload"
    endif
    breaksw
case _iac_reload:
    if ( "$IAC_TIER_NAME" == "$IAC_DEPLOYMENT" ) then
        source "$IAC_TIER_DIR/etc/profile.csh" _iac_named "$IAC_TIER_NAME"
    else
        iac_load "$IAC_TIER_NAME"
    endif
    set _iac_status = $status
    breaksw
case _iac_dump_vars:
    foreach _iac_item ( TIER_DIR TIER_NAME DIR PARENT ORIGINAL_PATH DEPLOYMENT )
        echo -n "IAC_$_iac_item="; printenv "IAC_$_iac_item"
    end
    echo -n "CONDARC="; printenv CONDARC
    breaksw
case _iac_deactivate:
    foreach _iac_item ( $_iac_end:q )
        if ( "$_iac_item:t" == "*.csh" ) break # nothing matched
        setenv CONDA_PREFIX "$_iac_item:h:h:h:h"
        source "$_iac_item"
    end
    unsetenv CONDA_PREFIX
    if ( $?_iac_original_prefix ) then
        setenv CONDA_PREFIX "$_iac_original_prefix"
    endif
@IAC_VARIABLES_BEFORE@    unsetenv _iac_variables
    breaksw
case _iac_unload:
    source "$IAC_TIER_DIR/etc/profile.csh" _iac_deactivate
    set _iac_status = $status # which it has unset
    unsetenv _iac_original_prefix
    setenv PATH "$IAC_ORIGINAL_PATH"
    unsetenv CONDARC
    if ( $?_iac_original_condarc ) then
        setenv CONDARC "$_iac_original_condarc"
    endif
    unsetenv _iac_original_condarc
    unsetenv IAC_TIER_DIR IAC_TIER_NAME IAC_DIR IAC_PARENT IAC_DEPLOYMENT IAC_ORIGINAL_PATH
    unalias iac_{load,reload,unload,status,dump_vars}
    uncomplete iac_load
    breaksw
default:
    setenv IAC_TIER_DIR @IAC_TIER_DIR@
    setenv IAC_DIR @IAC_DIR@
    setenv IAC_PARENT @IAC_PARENT@
    setenv IAC_DEPLOYMENT @IAC_DEPLOYMENT@

    # The name: the one that was typed, if that leads here; else of a link that does.
    setenv IAC_TIER_NAME "$IAC_TIER_DIR:t"
    foreach _iac_item ( green blue staging production )
        if ( -F "$IAC_DIR/$_iac_item" == -F "$IAC_TIER_DIR" ) setenv IAC_TIER_NAME $_iac_item
    end
    foreach _iac_item ( $_iac_tiers:gh:gh:gt:q )
        if ( "$_iac_typed" =~ *[/\ ]"$_iac_item"/etc/profile.csh* && \
            -F "$IAC_DIR/$_iac_item" == -F "$IAC_TIER_DIR" ) setenv IAC_TIER_NAME "$_iac_item"
    end
    if ( "$_iac_typed" =~ *deployments/"$IAC_DEPLOYMENT"/etc/profile.csh* ) then
        setenv IAC_TIER_NAME "$IAC_DEPLOYMENT"
    endif
    if ( "$1" == _iac_named ) setenv IAC_TIER_NAME "$2"

    if ( ! $?PATH ) setenv PATH
    if ( ! $?IAC_ORIGINAL_PATH ) then
        setenv IAC_ORIGINAL_PATH "$PATH"
        unsetenv _iac_original_condarc
        if ( $?CONDARC ) then
            setenv _iac_original_condarc "$CONDARC"
        endif
        unsetenv _iac_original_prefix
        if ( $?CONDA_PREFIX ) then
            setenv _iac_original_prefix "$CONDA_PREFIX"
        endif
    endif
    setenv CONDARC "$IAC_TIER_DIR/etc/condarc"
    setenv _iac_variables ""
@IAC_VARIABLES@
    set _iac_path = "$IAC_TIER_DIR/bin"
    foreach _iac_item ( $_iac_environments:q )
        if ( -d "$IAC_TIER_DIR/conda/envs/$_iac_item/bin" ) then
            set _iac_path = "${_iac_path}:$IAC_TIER_DIR/conda/envs/$_iac_item/bin"
        endif
    end
    # An empty entry would be the working directory.
    if ( "$IAC_ORIGINAL_PATH" != "" ) set _iac_path = "${_iac_path}:$IAC_ORIGINAL_PATH"
    setenv PATH "$_iac_path"

    foreach _iac_item ( load reload status dump_vars unload )
        alias iac_$_iac_item 'source "$IAC_TIER_DIR/etc/profile.csh" _iac_'$_iac_item' \!*'
    end
    if ( $?prompt ) complete iac_load "p/1/($_iac_tiers:gh:gh:gt)/"

    # The first one's; while a script of another runs, that one's.
    if ( -d "$IAC_TIER_DIR/conda/envs/$_iac_environments[1]" ) then
        set _iac_prefix = "$IAC_TIER_DIR/conda/envs/$_iac_environments[1]"
        setenv CONDA_PREFIX "$_iac_prefix"
    endif
    foreach _iac_item ( $_iac_begin:q $_iac_scripts:q )
        if ( "$_iac_item:t" == "*.csh" ) continue # nothing matched
        if ( "$_iac_item" =~ */etc/conda/activate.d/* ) then
            setenv CONDA_PREFIX "$_iac_item:h:h:h:h"
        else if ( $?_iac_prefix ) then
            setenv CONDA_PREFIX "$_iac_prefix"
        endif
        if ( ! -f "$_iac_item" || ! -r "$_iac_item" ) then
            /bin/sh -c 'echo "$*" >&2' - "tierctl: cannot read $_iac_item"
            continue
        endif
        # So that a deploy, which tries this out, can tell which script prints what.
        if ( $?_iac_trial ) then
            /bin/sh -c 'echo "$*" >&2' - "$_iac_trial $_iac_item"
        endif
        set status = 0
        source "$_iac_item"
        if ( $status > 1 ) then # 1 is what a last [ ... ] && ... ends with
            /bin/sh -c 'echo "$*" >&2' - "tierctl: $_iac_item failed"
        endif
    end
    if ( $?_iac_prefix ) then
        setenv CONDA_PREFIX "$_iac_prefix"
    endif
endsw
eval "unset _iac_*; set status = $_iac_status"
