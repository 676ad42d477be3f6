"""Exports in fewer bits: loaded back as bitsandbytes made them, or by programs that a user would have installed."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from executor.publishing.calibrated_weights import Calibration, check_compressor, write_calibrated
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


PYTHON = """\
#!/bin/sh
if [ "$1" = -c ]; then exit 0; fi
shift
cp "$4" "$2/rows.json"
echo "$1" "$3" "$6" "$7" > "$2/model.safetensors"
"""


def test_calibrated_weights_are_made_by_the_python_that_has_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_LLMCOMPRESSOR_PYTHON", str(tmp_path / "python"))
    with pytest.raises(ProblemError, match="which does not start: No such file or directory"):
        check_compressor()
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    with pytest.raises(ProblemError, match=r"which `[^`]*python` does not have"):
        check_compressor()
    output = tmp_path / "output"
    output.mkdir()
    with pytest.raises(ProblemError, match="llm-compressor ended with 1"):
        write_calibrated(tmp_path / "model", output, "awq-4bit", "auto", Calibration([[1, 2]], tmp_path), trusted=False)
    (tmp_path / "python").write_text(PYTHON)
    check_compressor()
    write_calibrated(tmp_path / "model", output, "awq-4bit", "auto", Calibration([[1, 2], [3]], tmp_path), trusted=True)
    assert (output / "rows.json").read_text() == "[[1, 2], [3]]"
    assert (output / "model.safetensors").read_text() == f"{tmp_path / 'model'} awq-4bit 5GB trusted\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["output", "python"]


@pytest.mark.skipif(find_spec("llmcompressor") is None, reason="needs llm-compressor: pip install llmcompressor")
def test_what_the_library_makes_computes_nearly_the_same(model: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    output = tmp_path / "output"
    output.mkdir()
    rows = [[(at * 7 + row) % 64 for at in range(24)] for row in range(8)]
    tokenizer = Path(__file__).parents[2] / "examples" / "quickstart" / "tokenizer"
    write_calibrated(model, output, "gptq-4bit", "auto", Calibration(rows, tokenizer), trusted=False)
    exported, plain = (AutoModelForCausalLM.from_pretrained(one, dtype="auto") for one in (output, model))
    with torch.no_grad():
        found, expected = (one(torch.tensor(rows[:1])).logits.float() for one in (exported, plain))
    assert (
        json.loads((output / "config.json").read_text())["quantization_config"]["quant_method"] == "compressed-tensors"
    )
    assert 0 < float((found - expected).square().mean().sqrt() / expected.std()) < 0.3
