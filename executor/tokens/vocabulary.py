"""Tokens that a recipe adds to a tokenizer, and roles that it gives to some: the same files for a plan and a build."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from executor.tokens.tokenizer_files import CONFIG, FILES, own_template, special_tokens, tokenizer_digest
from state.canonical import Plain, digest
from state.files import FileDigests
from state.wording import suggestion

ROLES = ("bos_token", "eos_token", "pad_token", "unk_token")
MORE = "additional_special_tokens"
TOKENIZER = "tokenizer.json"


def changes_tokenizer(settings: Mapping[str, Any]) -> bool:
    """Whether a model's settings add tokens, or give some a role."""
    return bool(settings.get("tokens") or settings.get("special_tokens"))


def named_tokens(tokens: Sequence[str], special: Mapping[str, Any]) -> tuple[str, ...]:
    """What a recipe says is new to a vocabulary; tokens with a role may have been in it."""
    return tuple(dict.fromkeys([*tokens, *special.get(MORE, ())]))


def faults(tokens: Sequence[str], special: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What is wrong with both fields: path, detail, hint."""
    for name, value in special.items():
        path = f"special_tokens.{name}"
        if name not in (*ROLES, MORE):
            hint = suggestion(name, [*ROLES, MORE]) or f"There are {', '.join((*ROLES, MORE))}."
            yield path, "no such role of a token.", hint
        elif name == MORE and not _are_texts(value):
            yield path, "expected a list of texts.", 'For instance ["<|call|>"].'
        elif name != MORE and not _are_texts([value]):
            yield path, "expected a text.", 'For instance "<|im_end|>".'
    if not _are_texts(list(tokens)) or len(set(tokens)) < len(tokens):
        yield "tokens", "each token must be a text of its own.", "Remove what is empty or written twice."


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and one for one in value)


def changed_identity(identity: str, settings: Mapping[str, Any]) -> str:
    """The identity of a tokenizer with what a model's settings add to it, given its own."""
    if not changes_tokenizer(settings):
        return identity
    added: dict[str, Plain] = {name: settings[name] for name in ("tokens", "special_tokens")}
    return digest({"tokenizer": identity, **added})


def extended(folder: Path, settings: Mapping[str, Any], cache: Path) -> Path:
    """A tokenizer's folder as a model's settings change it: itself, or a copy below `cache`, made once."""
    if not changes_tokenizer(settings):
        return folder
    of, template = tokenizer_digest(folder, FileDigests()), own_template(folder)
    name = digest({"tokenizer": changed_identity(of, settings), "template": template})
    if (cache / name).is_dir():
        return cache / name
    place = cache if _may_fill(cache) else _until_the_end()
    output = place / name
    if not output.is_dir():
        import shutil
        import tempfile

        scratch = Path(tempfile.mkdtemp(dir=place))
        extend(folder, settings, scratch)
        try:
            scratch.rename(output)
        except OSError:  # somebody else was as fast
            shutil.rmtree(scratch)
    return output


def _may_fill(cache: Path) -> bool:
    """Whether there is a `.tune/` and its caches can be written to: a plan makes none, and needs only to read."""
    if not cache.parent.parent.is_dir():
        return False
    with suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
    return os.access(cache, os.W_OK)


@lru_cache(maxsize=1)
def _until_the_end() -> Path:
    """A folder that goes with this process."""
    import atexit
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="tune-tokenizers-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def extend(folder: Path, settings: Mapping[str, Any], output: Path) -> dict[str, int]:
    """Write the files of a tokenizer as a model's settings change it; returns the new tokens with their ids.

    Tokens are found in a text exactly as they are written. Those with a role are control tokens, which no text of a
    row may contain unless the recipe allows it.
    """
    import shutil

    from tokenizers import AddedToken, Tokenizer

    tokens, special = settings["tokens"], settings["special_tokens"]
    for name in FILES:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, output / name)
    if not (output / TOKENIZER).is_file():
        _convert(folder, output)
    tokenizer = Tokenizer.from_file(str(output / TOKENIZER))
    before = tokenizer.get_vocab(with_added_tokens=True)
    control = [*special.get(MORE, ()), *(special[role] for role in ROLES if role in special)]
    tokenizer.add_tokens([AddedToken(one, normalized=False) for one in tokens if one not in control])
    tokenizer.add_special_tokens([AddedToken(one, normalized=False, special=True) for one in control])
    tokenizer.save(str(output / TOKENIZER))
    _write_roles(output, tokenizer, special)
    new = {text: number for text, number in tokenizer.get_vocab(with_added_tokens=True).items() if text not in before}
    return dict(sorted(new.items(), key=lambda item: item[1]))


def _convert(folder: Path, output: Path) -> None:
    """Have transformers write what reads a tokenizer of another format."""
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer.save(str(output / TOKENIZER))


def _write_roles(output: Path, tokenizer: Any, special: Mapping[str, Any]) -> None:  # noqa: ANN401  imported late
    """Say in the tokenizer's configuration, and where else it is said, which token has which role."""
    path = output / CONFIG
    config: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    config |= {role: special[role] for role in ROLES if role in special}
    if special.get(MORE):
        name = "extra_special_tokens" if isinstance(config.get("extra_special_tokens"), list) else MORE
        config[name] = list(dict.fromkeys([*config.get(name, ()), *special[MORE]]))
    if "added_tokens_decoder" in config:
        config["added_tokens_decoder"] = {
            str(number): {
                name: getattr(token, name)
                for name in ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
            }
            for number, token in sorted(tokenizer.get_added_tokens_decoder().items())
        }
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    older = output / "special_tokens_map.json"
    if older.is_file():
        roles = {role: special[role] for role in ROLES if role in special}
        text = json.dumps({**json.loads(older.read_bytes()), **roles}, indent=2, ensure_ascii=False)
        older.write_text(text + "\n", encoding="utf-8")


def role_ids(folder: Path) -> dict[str, Plain]:
    """The ids of the tokens that begin, end and fill rows, as a model's configuration names them."""
    from tokenizers import Tokenizer

    tokenizer, special = Tokenizer.from_file(str(folder / TOKENIZER)), special_tokens(folder)
    return {f"{role}_id": tokenizer.token_to_id(special[role]) for role in ROLES[:3] if special[role]}
