"""Secrets never reach what is written or shown, and nothing else is taken out with them."""

from __future__ import annotations

import hashlib
import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.secrets import REMOVED, SHORTEST, looks_secret, without_secrets

LETTERS = "aB3dE5gH7jK9mN1pQ2sT4vW6"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\nZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----"
SHAPES = [
    "hf_" + LETTERS,
    *(f"{kind}-{LETTERS}" for kind in ("sk", "pk", "rk", "sk-proj", "sk-ant-api03")),
    *(f"gh{kind}_{LETTERS}" for kind in "pousr"),
    "github_pat_" + LETTERS,
    "glpat-" + LETTERS,
    *(f"xox{kind}-{LETTERS}" for kind in "abpr"),
    "AKIA" + LETTERS.upper()[:16],
    "ASIA" + LETTERS.upper()[:16],
    f"eyJ{LETTERS}.{LETTERS}.{LETTERS}",
    KEY,
    KEY.replace("OPENSSH ", "").replace("\n", "\\n"),
]


@pytest.mark.parametrize("secret", SHAPES)
@pytest.mark.parametrize(
    "around", ["{}", "token={}", 'Login with "{}" failed', "({})", "{}\nnext line", "größer {}, x"]
)
def test_what_has_the_shape_of_a_secret_is_taken_out_wherever_it_stands(secret: str, around: str) -> None:
    text = around.format(secret)
    assert looks_secret(text)
    assert without_secrets(text) == around.format(REMOVED)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://ada:pa55@host/x", f"https://{REMOVED}@host/x"),
        ("https://:pa55@host/x", f"https://{REMOVED}@host/x"),
        ("s3://b/k?X-Amz-Signature=ab12&x=1", f"s3://b/k?{REMOVED}&x=1"),
        ("?X-Amz-Credential=a&X-Amz-Security-Token=b", f"?{REMOVED}&{REMOVED}"),
        ("https://b/k?alt=media&X-Goog-Signature=ab12", f"https://b/k?alt=media&{REMOVED}"),
        ("https://b/k?sv=1&sig=a%2Fb", f"https://b/k?sv=1&{REMOVED}"),
        ("https://h/x?token=abc&access_token=d&api_key=e", f"https://h/x?{REMOVED}&{REMOVED}&{REMOVED}"),
        (f"AccountName=a;AccountKey={LETTERS}==;Endpoint=b", f"AccountName=a;AccountKey={REMOVED};Endpoint=b"),
    ],
)
def test_the_secret_part_of_an_address_is_taken_out_and_the_rest_stays(text: str, left: str) -> None:
    assert looks_secret(text)
    assert without_secrets(text) == left
    assert not looks_secret(left)


def test_a_private_key_that_was_cut_off_is_taken_out_to_its_end() -> None:
    assert without_secrets("key: " + KEY[:70]) == f"key: {REMOVED}"


@pytest.mark.parametrize(
    "name",
    [
        *("HF_TOKEN", "hf_token", "WANDB_API_KEY", "WANDB_APIKEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        *("DB_PASSWORD", "PGPASSWD", "SSH_PASSPHRASE", "MY_CREDENTIAL", "CLIENT_SECRET", "SECRET_OF_MINE"),
        *("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS", "SIGNING_PRIVATE_KEY"),
    ],
)
@pytest.mark.parametrize("value", ["Tr0ub4dor", 'quote"d and back\\slash', "zwei\nzeilen", "schlüssel"])
def test_the_value_of_a_secret_variable_is_taken_out_of_text_and_of_json(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert without_secrets(f"<{value}> twice <{value}>") == f"<{REMOVED}> twice <{REMOVED}>"
    for ensure_ascii in (True, False):
        text = json.dumps({"text": f"<{value}>"}, ensure_ascii=ensure_ascii)
        assert json.loads(without_secrets(text)) == {"text": f"<{REMOVED}>"}
    monkeypatch.delenv(name)
    assert without_secrets(value) == value


def test_of_two_values_the_longer_is_taken_out_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "abcdefgh")
    monkeypatch.setenv("B_TOKEN", "abcdefgh-and-more")
    assert without_secrets("abcdefgh-and-more abcdefgh") == f"{REMOVED} {REMOVED}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("HF_TOKEN_PATH", "/home/ada/token"),
            ("AWS_ACCESS_KEY_ID", "somebodys-name"),
            ("TOKEN_DIR", "/home/ada/dir"),
        ),
        *(("PASSWORD_FILE", "/run/secrets/x"), ("TOKEN_URL", "https://host/login"), ("HOME", "/home/ada")),
        *(("TOKENIZERS_PARALLELISM", "disabled"), ("USE_TOKEN", "x" * (SHORTEST - 1)), ("MONKEY_BUSINESS", "bananas!")),
    ],
)
def test_other_variables_stay(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert without_secrets(f"it is {value}.") == f"it is {value}."


@pytest.mark.parametrize(
    "text",
    [
        *(hashlib.sha1(b"", usedforsecurity=False).hexdigest(), hashlib.sha256(b"").hexdigest(), str(uuid.UUID(int=7))),
        *("hf_transfer", "hf_hub_download", "sk-learn", "task-classification-of-support-requests-2024"),
        *("disk-0123456789abcdef0123", "mask-language-modelling-with-bert-2", "pk-based-lookup-of-customer-records"),
        *("sk-of-many-words-that-is-no-key-at-all", "AKIAIKI", "eyJ.a.b", "data/token=x.jsonl", "ghp_short"),
        *("https://huggingface.co/org/model@main", "https://host:8443/path", "http://[::1]:80/x", "a:b@c"),
        *("2026-03-01T10:00:00Z", "ada@gpu-host", "-----BEGIN CERTIFICATE-----", "?page=2&sort=token", "?signature"),
    ],
)
def test_what_is_harmless_stays(text: str) -> None:
    assert not looks_secret(text)
    assert without_secrets(f"{text} and ({text})") == f"{text} and ({text})"


HEX = st.text("0123456789abcdef", max_size=64)
WORDS = st.sampled_from(
    ["train", "sft", "adapter_model", "safetensors", "v2", "sk", "task", "größer", "hf", "checkpoint"]
)


@given(HEX | HEX.map(str.upper) | st.uuids().map(str))
def test_no_digest_is_taken_for_a_secret(text: str) -> None:
    assert without_secrets(f"sha256:{text} {text}/{text}.json") == f"sha256:{text} {text}/{text}.json"


@given(st.lists(WORDS | st.integers(0).map(str), max_size=6), st.sampled_from([" ", "/", ".", ", ", "=", "\n"]))
def test_no_sentence_of_ours_is_taken_for_a_secret(words: list[str], between: str) -> None:
    text = between.join(words)
    assert without_secrets(text) == text


@given(st.text(max_size=40))
def test_what_was_cleaned_is_clean(text: str) -> None:
    assert without_secrets(without_secrets(text)) == without_secrets(text)
