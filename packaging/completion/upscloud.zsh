#compdef upscloud
# zsh completion of upscloud, made from its command tree by its tests (-update).
_upscloud() {
    case "${words[CURRENT-1]}" in
    --config|--count|--days|--device|--email|--expires|--head|--name|--note|--organisation|--password-file|--plan|--until|--uses) _files; return ;;
    esac
    local at="" word offered
    for word in "${words[@]:1:CURRENT-2}"; do
        case "$at/$word" in
        "/init") at="init" ;;
        "/serve") at="serve" ;;
        "/key") at="key" ;;
        "key/rotate") at="key rotate" ;;
        "/log") at="log" ;;
        "log/verify") at="log verify" ;;
        "/licence") at="licence" ;;
        "licence/issue") at="licence issue" ;;
        "licence/list") at="licence list" ;;
        "licence/revoke") at="licence revoke" ;;
        "/plan") at="plan" ;;
        "plan/set") at="plan set" ;;
        "/backup") at="backup" ;;
        "/restored") at="restored" ;;
        "/version") at="version" ;;
        esac
    done
    case "$at" in
    "") offered="init serve key log licence plan backup restored version --help --config" ;;
    "init") offered="--email --name --organisation --password-file --help --config" ;;
    "serve") offered="--help --config" ;;
    "key") offered="rotate --help --config" ;;
    "key rotate") offered="--help --config" ;;
    "log") offered="verify --help --config" ;;
    "log verify") offered="--device --head --help --config" ;;
    "licence") offered="issue list revoke --help --config" ;;
    "licence issue") offered="--plan --days --count --uses --expires --note --help --config" ;;
    "licence list") offered="--json --help --config" ;;
    "licence revoke") offered="--help --config" ;;
    "plan") offered="set --help --config" ;;
    "plan set") offered="--until --help --config" ;;
    "backup") offered="--help --config" ;;
    "restored") offered="--help --config" ;;
    "version") offered="--help --config" ;;
    esac
    compadd -- ${(s: :)offered} || _files
}
_upscloud "$@"
