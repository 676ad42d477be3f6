"""Exports in fewer bits: loaded back as bitsandbytes made them, or by programs that a user would have installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from executor.publishing.quantized_weights import check_tools, write_quantized
from state.diagnostic import ProblemError

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

CONVERTER = """\
import sys
print("converting", *sys.argv[1:])
open(sys.argv[sys.argv.index("--outfile") + 1], "w").write(" ".join(sys.argv[4:]))
"""
QUANTIZER = """\
#!/bin/sh
echo "$3" > "$2"
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1}
    made: Any = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4))
    made.to(torch.bfloat16).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(("kind", "method"), [("bnb-4bit", "load_in_4bit"), ("bnb-8bit", "load_in_8bit")])
def test_bitsandbytes_weights_compute_what_the_model_does_in_these_bits(
    model: Path, kind: str, method: str, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    output = tmp_path / "output"
    output.mkdir()
    write_quantized(model, output, kind, "auto")
    assert json.loads((output / "config.json").read_text())["quantization_config"][method] is True
    smaller = (output / "model.safetensors").stat().st_size / (model / "model.safetensors").stat().st_size
    assert smaller < 0.7
    exported = AutoModelForCausalLM.from_pretrained(output, dtype="auto")
    extra = {"bnb_4bit_quant_type": "nf4"} if kind == "bnb-4bit" else {}
    configuration: Any = BitsAndBytesConfig(**{method: True}, **extra)  # type: ignore[no-untyped-call]
    expected = AutoModelForCausalLM.from_pretrained(model, dtype="auto", quantization_config=configuration)
    with torch.no_grad():
        logits = [one(torch.arange(20)[None]).logits for one in (exported, expected)]
    assert logits[0].equal(logits[1])


@pytest.mark.parametrize(("kind", "written"), [("gguf-Q8_0", "--outtype q8_0"), ("gguf-Q4_K_M", "Q4_K_M\n")])
def test_gguf_files_are_made_by_the_programs_of_llama_cpp(
    kind: str, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, output = tmp_path / "programs", tmp_path / "output"
    programs.mkdir()
    output.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    with pytest.raises(ProblemError, match=r"`convert_hf_to_gguf\.py` is not on the PATH"):
        check_tools(kind)
    for name, text in (("convert_hf_to_gguf.py", CONVERTER), ("llama-quantize", QUANTIZER)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    check_tools(kind)
    write_quantized(tmp_path / "model", output, kind, "auto")
    found = list(output.iterdir())
    assert [path.name for path in found] == [f"model-{kind.removeprefix('gguf-')}.gguf"]
    assert found[0].read_text() == written


def test_a_program_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "convert_hf_to_gguf.py").write_text("raise SystemExit(3)")
    (tmp_path / "convert_hf_to_gguf.py").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{Path(sys.executable).parent}:/usr/bin:/bin")
    with pytest.raises(ProblemError, match=r"`convert_hf_to_gguf\.py` ended with 3"):
        write_quantized(tmp_path, tmp_path, "gguf-F16", "auto")
