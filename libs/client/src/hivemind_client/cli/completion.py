"""`hm completion`: what a shell needs to finish commands, flags and bots, made from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hivemind_client.cli.frame import Hm, command
from hivemind_client.cli.pages import summary_of
from hivemind_client.cli.refusals import UsageError

SHELLS = ("bash", "zsh", "fish")
BOTS = "hm bot list --quiet --timeout 2 2>/dev/null"
"""Asked when somebody completes a slug; without a server there are none."""


@dataclass(frozen=True)
class Word:
    """What may stand behind the words before it, and what it is."""

    before: str
    word: str
    help: str


@dataclass(frozen=True)
class Known:
    """What the shells are told."""

    words: tuple[Word, ...]
    flags: tuple[Word, ...]
    valued: tuple[str, ...]
    """Flags that take a value."""
    bots: tuple[str, ...]
    """Commands whose first argument is a bot."""


def register(app: typer.Typer) -> None:
    """Hang this command into `hm`."""
    command(
        app,
        "completion",
        examples="""
        hm completion bash > ~/.local/share/bash-completion/completions/hm
        hm completion zsh > "${fpath[1]}/_hm"
        hm completion fish > ~/.config/fish/completions/hm.fish
        source <(hm completion bash)                      in this shell only
        """,
    )(completion)


def completion(
    hm: Hm,
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print what a shell needs to finish commands, flags and the names of bots."""
    if shell not in SHELLS:
        raise UsageError(f"there is no completion for {shell}", hint=f"choose one of {', '.join(SHELLS)}")
    from hivemind_client.cli.program import application  # of which this is a part

    known = _known(typer.main.get_command(application()))
    script = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](known)
    if hm.out.as_json:
        hm.out.document({"shell": shell, "script": script})
    else:
        hm.out.text(script)


def _known(root: Any) -> Known:
    words, flags, bots = [], [], []
    valued = set()
    for before, found in _commands(root, ""):
        if isinstance(found, TyperGroup):
            words += [Word(before, name, summary_of(below.help)) for name, below in found.commands.items()]
        for parameter in found.params:
            if parameter.param_type_name == "option":
                names = [*parameter.opts, *parameter.secondary_opts]
                flags += [Word(before, name, getattr(parameter, "help", "") or "") for name in names]
                valued |= set() if parameter.is_flag else set(names)
        arguments = [parameter for parameter in found.params if parameter.param_type_name == "argument"]
        if arguments and arguments[0].name == "slug" and before != "bot create":
            bots.append(before)
    return Known(tuple(words), tuple(flags), tuple(sorted(valued)), tuple(bots))


def _commands(found: Any, before: str) -> Iterator[tuple[str, Any]]:
    yield before, found
    if isinstance(found, TyperGroup):
        for name, below in found.commands.items():
            yield from _commands(below, f"{before} {name}".strip())


def _cases(words: tuple[Word, ...]) -> str:
    by_place: dict[str, list[str]] = {}
    for each in words:
        by_place.setdefault(each.before, []).append(each.word)
    return "\n".join(f'        "{place}") echo "{" ".join(found)}" ;;' for place, found in by_place.items())


def _bash(known: Known) -> str:
    return f"""# bash completion for hm
_hm_words() {{
    case "$1" in
{_cases(known.words)}
    esac
}}
_hm_flags() {{
    case "$1" in
{_cases(known.flags)}
    esac
}}
_hm() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" before="" word previous="" place=0 argument=0
    while (( ++place < COMP_CWORD )); do
        word="${{COMP_WORDS[place]}}"
        if [[ $word == -* ]]; then
            case " {" ".join(known.valued)} " in *" $word "*) (( ++place )) ;; esac
        elif [[ " $(_hm_words "$before") " == *" $word "* ]]; then
            before="${{before:+$before }}$word"
        else
            (( ++argument ))
        fi
    done
    previous="${{COMP_WORDS[COMP_CWORD-1]}}"
    COMPREPLY=()
    if (( place > COMP_CWORD )); then
        COMPREPLY=($(compgen -f -- "$current"))
    elif [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$(_hm_flags "$before")" -- "$current"))
    elif [[ -n "$(_hm_words "$before")" && $argument == 0 ]]; then
        COMPREPLY=($(compgen -W "$(_hm_words "$before")" -- "$current"))
    elif (( argument == 0 )); then
        case "$before" in
            {"|".join(f'"{each}"' for each in known.bots)}) COMPREPLY=($(compgen -W "$({BOTS})" -- "$current")) ;;
            "completion") COMPREPLY=($(compgen -W "{" ".join(SHELLS)}" -- "$current")) ;;
            *) COMPREPLY=($(compgen -f -- "$current")) ;;
        esac
    else
        COMPREPLY=($(compgen -f -- "$current"))
    fi
}}
complete -o filenames -o bashdefault -F _hm hm ./hm hivemind-cli
"""


def _zsh(known: Known) -> str:
    return f"""#compdef hm hivemind-cli
_hm_words() {{
    case "$1" in
{_described(known.words)}
    esac
}}
_hm_flags() {{
    case "$1" in
{_described(known.flags)}
    esac
}}
_hm() {{
    local before="" word place=1 argument=0
    local -a found names
    while (( ++place < CURRENT )); do
        word="${{words[place]}}"
        if [[ $word == -* ]]; then
            case " {" ".join(known.valued)} " in *" $word "*) (( ++place )) ;; esac
            continue
        fi
        names=(${{${{(f)"$(_hm_words "$before")"}}%%:*}})
        if (( ${{names[(Ie)$word]}} )); then
            before="${{before:+$before }}$word"
        else
            (( ++argument ))
        fi
    done
    if (( place > CURRENT )); then
        _files
        return
    fi
    if [[ "${{words[CURRENT]}}" == -* ]]; then
        found=(${{(f)"$(_hm_flags "$before")"}})
        _describe -o 'flag' found
        return
    fi
    found=(${{(f)"$(_hm_words "$before")"}})
    if (( $#found && argument == 0 )); then
        _describe 'command' found
    elif (( argument == 0 )); then
        case "$before" in
            {"|".join(f'"{each}"' for each in known.bots)})
                found=(${{(f)"$({BOTS})"}})
                _describe 'bot' found ;;
            "completion") compadd {" ".join(SHELLS)} ;;
            *) _files ;;
        esac
    else
        _files
    fi
}}
if [ "$funcstack[1]" = "_hm" ]; then
    _hm "$@"
else
    compdef _hm hm hivemind-cli
fi
"""


def _described(words: tuple[Word, ...]) -> str:
    by_place: dict[str, list[str]] = {}
    for each in words:
        by_place.setdefault(each.before, []).append(_quoted(f"{each.word}:{each.help.replace(':', ';')}"))
    return "\n".join(f'        "{place}") print -l -- {" ".join(found)} ;;' for place, found in by_place.items())


def _fish(known: Known) -> str:
    valued = " ".join(_quoted(each) for each in known.valued)
    lines = [
        "# fish completion for hm",
        "function __hm_before",
        "    set -l words (commandline -opc)",
        "    set -l skips 0",
        "    for word in $words[2..-1]",
        "        if test $skips = 1",
        "            set skips 0",
        "        else if string match -q -- '-*' $word",
        f"            contains -- $word {valued}; and set skips 1",
        "        else",
        "            echo $word",
        "        end",
        "    end",
        "end",
        "function __hm_at",
        "    set -l before (__hm_before)",
        '    test "$before" = "$argv"',
        "end",
        "function __hm_under",
        "    set -l before (__hm_before)",
        '    string match -q -- "$argv *" "$before "',
        "end",
    ]
    lines += ["complete -c hm -f"]
    for each in known.words:
        lines.append(f"complete -c hm -n {_at(each.before)} -a {_quoted(each.word)} -d {_quoted(each.help)}")
    for each in known.flags:
        name = f"-l {each.word[2:]}" if each.word.startswith("--") else f"-s {each.word[1:]}"
        takes = " -r -F" if each.word in known.valued else ""
        place = _quoted(f"__hm_under {each.before}" if each.before else "true")
        lines.append(f"complete -c hm -n {place} {name}{takes} -d {_quoted(each.help)}")
    for before in known.bots:
        lines.append(f"complete -c hm -n {_at(before)} -a {_quoted(f'({BOTS})')} -d bot")
    lines.append(f"complete -c hm -n {_at('completion')} -a {_quoted(' '.join(SHELLS))}")
    return "".join(f"{line}\n" for line in lines)


def _at(before: str) -> str:
    return _quoted(f"__hm_at {before}".strip())


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
