"""What something was made from is found by digest, and never mistaken for what stands at the same address now."""

from __future__ import annotations

from attrs import evolve

from executor.audit.card_metadata import card_metadata
from executor.audit.subject import all_materials, evaluations, subject
from state.record import InputRecord, Record, State, Superseded


def changed(state: State, **records: Record) -> State:
    return evolve(state, records={**state.records, **{name.replace("_", "."): one for name, one in records.items()}})


def references(address: str, state: State) -> list[str]:
    return [one.reference for one in all_materials(subject(address, state), state)]


def numbered(*names: str) -> list[str]:
    """References with their digests written as short as they were chosen."""
    return [f"{name.partition('@')[0]}@{int(name.partition('@')[2]):032x}" for name in names]


CHAIN = numbered(
    "model.base@10", "tokens.sft@30", "model.base#chat_template@12", "dataset.chats@20", "model.base#tokenizer@11"
)


def test_the_chain_goes_down_to_data_and_base_model(state: State) -> None:
    assert references("train.sft", state) == CHAIN
    assert references("dataset.chats", state) == []


def test_what_was_rebuilt_since_is_found_among_what_it_replaced(state: State) -> None:
    before = state.records["tokens.sft"]
    rebuilt = evolve(before, output_digest="f" * 32, action_key="f" * 32, inputs={})
    now = evolve(changed(state, tokens_sft=rebuilt), superseded={before.action_key: Superseded("tokens.sft", before)})
    assert references("train.sft", now) == CHAIN


def test_what_was_replaced_and_forgotten_is_known_by_its_digest_alone(state: State) -> None:
    rebuilt = evolve(state.records["tokens.sft"], output_digest="f" * 32)
    now = changed(state, tokens_sft=rebuilt)
    assert references("train.sft", now) == numbered("model.base@10", "tokens.sft@30")
    assert all_materials(subject("train.sft", now), now)[1].record.facts == {}


def test_what_was_renamed_is_found_under_its_new_name(state: State) -> None:
    records = {**state.records, "dataset.talks": state.records["dataset.chats"]}
    del records["dataset.chats"]
    assert numbered("dataset.talks@20")[0] in references("train.sft", evolve(state, records=records))


def test_a_part_is_not_taken_for_a_whole_that_has_other_weights(state: State) -> None:
    retrained = evolve(state.records["model.base"], output_digest="f" * 32)
    found = references("tokens.sft", changed(state, model_base=retrained))
    assert found == [one for one in CHAIN if "#" in one or one.startswith("dataset")]


def test_evaluations_are_those_of_these_weights(state: State) -> None:
    def measured(address: str, now: State) -> list[str]:
        return [one.address for one in evaluations(subject(address, now), now)]

    assert measured("merge.final", state) == ["eval.final"]
    assert measured("train.sft", state) == []
    retrained = evolve(state.records["merge.final"], output_digest="f" * 32)
    assert measured("merge.final", changed(state, merge_final=retrained)) == []
    of_adapter = (InputRecord("model.base", "", f"{10:032x}"), InputRecord("train.sft", "", f"{40:032x}"))
    moved = evolve(state.records["eval.final"], inputs={"model": of_adapter})
    assert measured("train.sft", changed(state, eval_final=moved)) == ["eval.final"]
    on_another_base = evolve(moved, inputs={"model": (of_adapter[1],)})
    assert measured("train.sft", changed(state, eval_final=on_another_base)) == []


def test_unverified_anywhere_is_unverified(state: State) -> None:
    merge = state.records["merge.final"]
    named = tuple(evolve(one, verified=one.address != "model.base") for one in merge.inputs["adapter"])
    now = changed(state, merge_final=evolve(merge, inputs={**merge.inputs, "adapter": named}))
    found = {one.name: one.verified for one in all_materials(subject("merge.final", now), now)}
    assert found["model.base"] is False
    assert found["train.sft"] is True


def test_an_adapter_to_weights_that_are_not_on_the_hub_names_no_base(state: State) -> None:
    base = state.records["model.base"]
    local = changed(state, model_base=evolve(base, content={"weights": "0" * 32}))
    assert "base_model" not in card_metadata(subject("train.sft", local), local)
    assert "base_model" not in card_metadata(subject("merge.final", local), local)
    stacked = evolve(
        state.records["train.sft"],
        output_digest="e" * 32,
        inputs={"model": (InputRecord("model.base", "", f"{10:032x}"), InputRecord("train.sft", "", f"{40:032x}"))},
    )
    second = changed(state, train_second=stacked)
    assert "base_model" not in card_metadata(subject("train.second", second), second)


def test_a_base_model_is_no_fine_tune_of_itself(state: State) -> None:
    assert card_metadata(subject("model.base", state), state) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["tuneform"],
    }
