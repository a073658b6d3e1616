# Loads this tier into fish:  source .../production/etc/profile.fish
#
# Written by tierctl; your own settings go into profile.d/*.fish. The tier's
# directory is written into this file and never looked up through a link, so a
# promotion while a shell reads it cannot mix two tiers. It starts no program.
# "builtin" keeps the user's functions out.

if not builtin test -d @IAC_TIER_DIR@
    builtin printf 'tierctl: nothing loaded: %s is gone. Was the target moved or copied? Then it has to be built again.\n' @IAC_TIER_DIR@ >&2
    return 0
end

function _iac_warn
    builtin printf '%s\n' $argv >&2
end

# Prints the tier in the path $argv, as it was sourced. A path without one
# (source etc/profile.fish) leaves the links that lead here, at last the
# directory itself.
function _iac_name
    set -l name (string replace -r '/etc/profile\.fish$' '' -- "$argv" | string split -r -m 1 /)[-1]
    set -l directory (string split -r -m 1 / -- $IAC_TIER_DIR)[-1]
    if builtin test -e "$IAC_DIR/$name/etc/profile.fish"; and not string match -q '.*' -- "$name"
        echo $name
        return
    end
    if builtin test "$name" != $directory
        for link in production staging blue green
            if builtin test (builtin realpath -- $IAC_DIR/$link 2>/dev/null; or echo) = (builtin realpath -- $IAC_TIER_DIR)
                echo $link
                return
            end
        end
    end
    echo $directory
end

# Runs what the environments of the loaded tier have for their end. "true": a
# script of nothing but "set" ends with the status that it finds. 1 is what a
# script's last "test ...; and ..." ends with.
function _iac_deactivate
    for _iac_item in $IAC_TIER_DIR/conda/envs/*/etc/conda/deactivate.d/*.fish
        set -gx CONDA_PREFIX (string replace -r '/etc/conda/deactivate\.d/[^/]*$' '' -- $_iac_item)
        if not builtin test -f $_iac_item -a -r $_iac_item
            _iac_warn "tierctl: cannot read $_iac_item"
        else
            builtin true
            builtin source $_iac_item
            builtin test $status -le 1; or _iac_warn "tierctl: $_iac_item failed"
        end
    end
    set -e CONDA_PREFIX
    set -q _iac_original_prefix; and set -gx CONDA_PREFIX $_iac_original_prefix
end

# Exports the variable $argv[1] as $argv[2], and notes what it was before.
function _iac_set
    set -e _iac_before_$argv[1]
    set -q $argv[1]; and set -gx _iac_before_$argv[1] $$argv[1]
    set -gx $argv[1] $argv[2]
    set -gx _iac_variables "$_iac_variables$argv[1] "
end

# Takes back what _iac_set has done.
function _iac_restore
    for _iac_item in (string split -n ' ' -- "$_iac_variables")
        set -l _iac_before _iac_before_$_iac_item
        set -e $_iac_item
        set -q $_iac_before; and set -gx $_iac_item $$_iac_before
        set -e $_iac_before
    end
    set -e _iac_variables
end

if set -q IAC_ORIGINAL_PATH
    set -q IAC_TIER_DIR; and _iac_deactivate
    _iac_restore
end

set -gx IAC_TIER_DIR @IAC_TIER_DIR@
set -gx IAC_DIR @IAC_DIR@
set -gx IAC_PARENT @IAC_PARENT@
set -gx IAC_DEPLOYMENT @IAC_DEPLOYMENT@
set -gx IAC_TIER_NAME (_iac_name (status filename))

if not set -q IAC_ORIGINAL_PATH
    set -gx IAC_ORIGINAL_PATH $PATH
    set -e _iac_original_condarc
    set -q CONDARC; and set -gx _iac_original_condarc $CONDARC
    set -e _iac_original_prefix
    set -q CONDA_PREFIX; and set -gx _iac_original_prefix $CONDA_PREFIX
    set -e _iac_variables
end
set -gx CONDARC $IAC_TIER_DIR/etc/condarc
@IAC_VARIABLES@
# The environments as they come on PATH; a plain directory may get others.
set -l _iac_environments @IAC_ENVIRONMENTS@
if not set -q _iac_environments[1]
    set _iac_environments $IAC_TIER_DIR/conda/envs/*
    set _iac_environments (string replace -r '.*/' '' -- $_iac_environments)
end
set -l _iac_path $IAC_TIER_DIR/bin
set -l _iac_scripts
for _iac_item in $_iac_environments
    builtin test -d $IAC_TIER_DIR/conda/envs/$_iac_item/bin
    and set -a _iac_path $IAC_TIER_DIR/conda/envs/$_iac_item/bin
    set -a _iac_scripts $IAC_TIER_DIR/conda/envs/$_iac_item/etc/conda/activate.d/*.fish
end
set -gx PATH $_iac_path $IAC_ORIGINAL_PATH

function iac_load -a tier -d 'Load another tier'
    if builtin test (count $argv) -ne 1
        or string match -qr '^\.|/|^$' -- "$tier"
        or not builtin test -r "$IAC_DIR/$tier/etc/profile.fish"
        _iac_warn "iac_load: there is no tier '$tier' to load. Usage: iac_load TIER" \
            "Tiers in $IAC_DIR: "(string join ' ' (_iac_tiers))
        return 1
    end
    builtin source $IAC_DIR/$tier/etc/profile.fish
end

function iac_reload -d 'Load the same tier again, as it is now'
    if builtin test "$IAC_TIER_NAME" = "$IAC_DEPLOYMENT"
        builtin source $IAC_TIER_DIR/etc/profile.fish
    else
        iac_load $IAC_TIER_NAME
    end
end

function iac_unload -d 'Leave the tier'
    _iac_deactivate
    _iac_restore
    set -gx PATH $IAC_ORIGINAL_PATH
    set -e CONDARC
    set -q _iac_original_condarc; and set -gx CONDARC $_iac_original_condarc
    set -e IAC_TIER_DIR IAC_TIER_NAME IAC_DIR IAC_PARENT IAC_DEPLOYMENT IAC_ORIGINAL_PATH
    set -e _iac_original_condarc _iac_original_prefix
    complete -e -c iac_load
    functions -e iac_load iac_reload iac_unload iac_status iac_dump_vars
    functions -e _iac_warn _iac_name _iac_tiers _iac_deactivate _iac_set _iac_restore
end

function iac_status -d 'Show what is loaded'
    builtin printf '%-11s %s\n' tier $IAC_TIER_NAME directory $IAC_TIER_DIR
    set -l deployment $IAC_DEPLOYMENT
    builtin test -n "$deployment"; or set deployment 'none, a plain directory'
    builtin printf '%-11s %s\n' deployment $deployment
    builtin test "$IAC_TIER_NAME" = "$IAC_DEPLOYMENT"; and return
    # A network filesystem's links are looked up anew after their directory was opened.
    set -l opened $IAC_DIR/*
    set -l now (builtin realpath -- $IAC_DIR/$IAC_TIER_NAME 2>/dev/null)
    if not builtin test -e "$now"
        echo "$IAC_TIER_NAME is gone: type iac_load TIER"
    else if builtin test $now != (builtin realpath -- $IAC_TIER_DIR)
        set -l number (string split -r -m 1 / -- $now)[-1]
        echo "$IAC_TIER_NAME has moved on to $number: type iac_reload"
    end
    return 0
end

function iac_dump_vars -d 'Print the variables of the tier'
    for name in IAC_TIER_DIR IAC_TIER_NAME IAC_DIR IAC_PARENT IAC_ORIGINAL_PATH IAC_DEPLOYMENT CONDARC
        builtin printf '%s=%s\n' $name "$$name"
    end
end

function _iac_tiers
    for profile in $IAC_DIR/*/etc/profile.fish
        echo (string split / -- $profile)[-3]
    end
end

if status is-interactive
    complete -c iac_load -f -n '__fish_is_first_arg' -a '(_iac_tiers)'
end

# Last: whatever these scripts do, the tier is loaded.
for _iac_item in $_iac_scripts $IAC_TIER_DIR/etc/profile.d/*.fish ''
    if string match -q "*/etc/conda/activate.d/*" -- $_iac_item
        set -gx CONDA_PREFIX (string replace -r '/etc/conda/activate\.d/[^/]*$' '' -- $_iac_item)
    else if set -q _iac_environments[1]
        set -gx CONDA_PREFIX $IAC_TIER_DIR/conda/envs/$_iac_environments[1]
    end
    # So that a deploy, which tries this out, can tell which script prints what.
    set -q _iac_trial; and _iac_warn "$_iac_trial $_iac_item"
    if builtin test -z "$_iac_item"
        break # the prefix is set now, with or without scripts
    else if not builtin test -f $_iac_item -a -r $_iac_item
        _iac_warn "tierctl: cannot read $_iac_item"
    else
        builtin true
        builtin source $_iac_item
        builtin test $status -le 1; or _iac_warn "tierctl: $_iac_item failed"
    end
end
true
