"""Beyond the golden traces: pictures stand alone, budgets hold, quirks are where they belong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facecure.cloaks.cloak import Sources  # noqa: E402
from facecure.cloaks.fawkes import Mode  # noqa: E402
from facecure.cloaks.fawkes_v03 import FawkesV03  # noqa: E402
from facecure.cloaks.fawkes_v10 import FawkesV10  # noqa: E402
from facecure.cloaks.loop import cloaked, run  # noqa: E402
from facecure.cloaks.lowkey import LowKey, LowKey4, LowKeyWarp  # noqa: E402
from facecure.cloaks.options import CloakOptions  # noqa: E402
from facecure.cloaks.steps import lowkey_step  # noqa: E402
from facecure.cloaks.steps.dssim import Dssim  # noqa: E402
from facecure.cloaks.steps.fawkes_step import PlainStep  # noqa: E402
from facecure.cloaks.surrogate import unit  # noqa: E402
from facecure.errors import InputError  # noqa: E402
from facecure.pictures.synthetic import make_person, render  # noqa: E402

FACES = torch.from_numpy(
    np.stack([render(make_person(i), 0).pixels for i in range(7)]).transpose(0, 3, 1, 2).astype(np.float32)
)
BARE = CloakOptions(lpips="none")
MAKERS = {
    "fawkes-v1.0": lambda surrogates, protocol: FawkesV10(surrogates, Mode(0.01, 12, 20), CloakOptions(protocol)),
    "fawkes-v0.3": lambda surrogates, protocol: FawkesV03(surrogates, Mode(0.005, 12, 30), CloakOptions(protocol)),
    "lowkey": lambda surrogates, protocol: LowKey(surrogates, options=CloakOptions(protocol, lpips="none")),
}


def sources(surrogates, which=slice(None)):
    whole = [None] * len(surrogates)
    return Sources(FACES[which], whole, list(range(len(FACES)))[which], FACES.roll(1, 0)[which], whole)


def recorded(cloak, given):
    records = []
    return cloaked(cloak, given, records.append), records


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["corrected", "facecure-2021"])
@pytest.mark.parametrize("name", MAKERS)
def test_any_batch_gives_the_same_pictures(tiny, name, protocol):
    surrogates = [tiny(0), tiny(1, "prelu")]
    cloak = MAKERS[name](surrogates, protocol)
    whole, records = recorded(cloak, sources(surrogates))
    for size in (1, 3, 5):
        parts = [recorded(cloak, sources(surrogates, slice(i, i + size))) for i in range(0, 7, size)]
        assert torch.equal(torch.cat([part[0] for part in parts]), whole)
        for number, record in enumerate(records):
            np.testing.assert_array_equal(np.concatenate([part[1][number].loss for part in parts]), record.loss)


@pytest.mark.parametrize("name", MAKERS)
def test_a_run_can_stop_and_go_on_at_any_iteration(tiny, name):
    surrogates = [tiny(0)]
    cloak = MAKERS[name](surrogates, "corrected")
    whole, records = recorded(cloak, sources(surrogates))
    state = cloak.start(sources(surrogates))
    steps = [*run(cloak, state, 5), *run(cloak, state, 0), *run(cloak, state)]
    assert [r.iteration for r in steps] == [r.iteration for r in records] == list(range(1, cloak.iterations + 1))
    assert torch.equal(cloak.finish(state), whole)


@pytest.mark.parametrize("protocol", ["corrected", "facecure-2021"])
@pytest.mark.parametrize("name", MAKERS)
def test_embeddings_move_and_bounds_hold(tiny, name, protocol):
    surrogates = [tiny(0)]
    cloak = MAKERS[name](surrogates, protocol)
    pictures, records = recorded(cloak, sources(surrogates))
    assert pictures.min() >= 0
    assert pictures.max() <= 255
    delta = (pictures - FACES).abs().amax((1, 2, 3))
    assert delta.max() <= {"fawkes-v1.0": 15.01, "fawkes-v0.3": 255, "lowkey": 33.2}[name]
    before, after = (unit(surrogates[0].embed(p)) for p in (FACES, pictures))
    assert float((before - after).norm(dim=1).min()) > 0.01
    assert all(np.isfinite(r.loss).all() for r in records)


@pytest.mark.parametrize("name", MAKERS)
def test_a_state_keeps_its_tensors(tiny, name):
    """A CUDA graph knows them by their address."""
    surrogates = [tiny(0)]
    cloak = MAKERS[name](surrogates, "corrected")
    state = cloak.start(sources(surrogates))

    def addresses():
        owners = [state, state.step]
        return {
            (type(owner).__name__, key): value.data_ptr()
            for owner in owners
            for key in (getattr(type(owner), "__slots__", ()) or vars(owner))
            if isinstance(value := getattr(owner, key), torch.Tensor)
        }

    before = addresses()
    list(run(cloak, state, 3))
    assert addresses() == before
    assert len(before) >= 2


def test_iterations_of_one_phase_are_alike(tiny):
    """Whatever differs between them but the tensors must show in the phase."""
    phases = {}
    for name, make in MAKERS.items():
        cloak = make([tiny(0)], "corrected")
        state = cloak.start(sources([tiny(0)], slice(0, 1)))
        phases[name] = [cloak.phase(state)]
        for _ in run(cloak, state):
            phases[name].append(cloak.phase(state))
    assert phases["fawkes-v1.0"][:12] == ["first", *["between"] * 10, "last"]
    rates = [30, 30, 30, 30, 30, 24, 24, 24, 24, 19.2, 19.2, 19.2]
    assert phases["fawkes-v0.3"][:12] == [(i == 0, pytest.approx(rate)) for i, rate in enumerate(rates)]
    assert len(set(phases["lowkey"])) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible")
@pytest.mark.parametrize("protocol", ["corrected", "facecure-2021"])
@pytest.mark.parametrize("name", MAKERS)
def test_a_graph_replays_what_the_loop_does(tiny, monkeypatch, name, protocol):
    surrogates = [tiny(0, device="cuda"), tiny(1, "prelu", device="cuda")]
    given = sources(surrogates)
    given = replace(given, pictures=given.pictures.cuda(), targets=given.targets.cuda())
    cloak = MAKERS[name](surrogates, protocol)
    replayed, records = recorded(cloak, given)
    monkeypatch.setattr("facecure.cloaks.loop.can_be_captured", lambda cloak: False)
    eager, expected = recorded(cloak, given)
    assert torch.equal(replayed, eager)
    for ours, theirs in zip(records, expected, strict=True):
        np.testing.assert_array_equal(ours.loss, theirs.loss)


def test_v03_moves_towards_its_target(tiny):
    surrogates = [tiny(0)]
    given = sources(surrogates)
    pictures = cloaked(MAKERS["fawkes-v0.3"](surrogates, "corrected"), given)
    goal = surrogates[0].embed(given.targets)
    before, after = ((surrogates[0].embed(p) - goal).norm(dim=1) for p in (FACES, pictures))
    assert (after < before).all()


def test_corrected_v03_keeps_its_budget_where_the_released_rules_do_not(tiny):
    """Q7: the released code keeps the iterate nearest to its goal, whatever it looks like."""
    surrogates, mode = [tiny(0)], Mode(1e-4, 30, 10)
    budgets = {}
    for protocol in ("corrected", "facecure-2021"):
        pictures = cloaked(FawkesV03(surrogates, mode, CloakOptions(protocol, 1e3)), sources(surrogates))
        budgets[protocol] = Dssim(FACES)(pictures - FACES)[0]
    within = budgets["corrected"] <= 1.1 * mode.threshold
    assert within.float().mean() > 0.5
    assert (budgets["corrected"][~within] < budgets["facecure-2021"][~within]).all()
    assert (budgets["facecure-2021"] > 1.1 * mode.threshold).all()


def test_the_kick_resets_the_optimiser_under_the_released_rules_only(tiny, monkeypatch):
    """Q10."""
    monkeypatch.setattr("facecure.cloaks.fawkes_v10.fawkes_step", PlainStep)
    for protocol, kept in (("corrected", True), ("facecure-2021", False)):
        cloak = MAKERS["fawkes-v1.0"]([tiny(0)], protocol)
        state = cloak.start(sources([tiny(0)]))
        list(run(cloak, state, 1))
        assert bool(state.step.optimiser.squares.any()) == kept


@pytest.mark.parametrize("protocol", ["corrected", "facecure-2021"])
def test_pixels_beyond_the_bound_are_frozen_under_the_released_rules_only(tiny, protocol):
    """Q9: beyond 15 grey levels no gradient passes; corrected, one that leads back does."""
    surrogates = [tiny(0)]
    cloak = MAKERS["fawkes-v1.0"](surrogates, protocol)
    state = cloak.start(sources(surrogates))
    list(run(cloak, state, 1))
    state.step.place(torch.full_like(FACES, 0.5))
    outside = state.step.pictures - FACES >= 15
    assert outside.any()
    list(run(cloak, state, 1))
    moved = (state.step.modifier - 0.5)[outside]
    assert (moved <= 0).all()  # above the source: only what lowers it
    assert bool(moved.any()) == (protocol == "corrected")


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["corrected", "facecure-2021"])
@pytest.mark.parametrize("name", MAKERS)
def test_the_native_step_gives_the_plain_loops_pictures(tiny, monkeypatch, name, protocol):
    """Bit for bit, whatever the network makes of them."""
    surrogates = [tiny(0), tiny(1, "prelu")]
    cloak = MAKERS[name](surrogates, protocol)
    native, records = recorded(cloak, sources(surrogates))
    monkeypatch.setattr("facecure.cloaks.fawkes_v10.fawkes_step", PlainStep)
    monkeypatch.setattr("facecure.cloaks.fawkes_v03.fawkes_step", PlainStep)
    monkeypatch.setattr("facecure.cloaks.lowkey.lowkey_step", lowkey_step.PlainStep)
    assert type(cloak.start(sources(surrogates)).step).__name__ == "PlainStep"
    plain, expected = recorded(cloak, sources(surrogates))
    assert torch.equal(native, plain)
    for ours, theirs in zip(records, expected, strict=True):
        np.testing.assert_array_equal(ours.accepted, theirs.accepted)
        np.testing.assert_array_equal(ours.visible, theirs.visible)


def test_weights_double_and_fall_as_the_protocol_says(tiny):
    """§5, step 5: always under 2, 4, …, 256, then 1; always over ½, …, 1/256, then 1."""
    surrogates = [tiny(0)]
    cloak = FawkesV10(surrogates, Mode(0.5, 20, 0.0), CloakOptions("facecure-2021"))
    _, records = recorded(cloak, sources(surrogates))
    assert [float(r.weight[0]) for r in records[:12]] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 1, 2, 4]
    cloak = FawkesV10(surrogates, Mode(1e-12, 20, 0.0), CloakOptions("facecure-2021"))
    state = cloak.start(sources(surrogates))
    state.side = -state.side
    records = list(run(cloak, state))
    assert [float(r.weight[0]) for r in records[:10]] == [1, *(0.5**k for k in range(1, 9)), 1]


def test_lowkey_uses_the_last_surrogate_of_each_architecture(tiny):
    """Q6: the released networks overwrite each other's weights."""
    first, second, other = tiny(0, architecture="ir"), tiny(1, architecture="ir"), tiny(2, architecture="resnet")
    assert LowKey([first, second, other], options=BARE).parameters()["shares"] == {
        "tiny0": 0, "tiny1": pytest.approx(2 / 3), "tiny2": pytest.approx(1 / 3),
    }  # fmt: skip
    shares = LowKey4([first, second, other], options=BARE).parameters()["shares"]
    assert list(shares.values()) == pytest.approx([1 / 3] * 3)


def test_deduplicated_members_equal_the_whole_ensemble(tiny):
    """docs/protocol.md §12, golden 7."""
    pair, alone = [tiny(0, architecture="ir"), tiny(1, architecture="ir")], [tiny(1, architecture="ir")]
    values = []
    for surrogates in (pair, alone, [alone[0], tiny(1, architecture="other")]):
        cloak = (LowKey if surrogates is pair else LowKey4)(surrogates, options=BARE)
        values.append(cloak.objective(cloak.start(sources(surrogates))))
    for value in values[1:]:
        np.testing.assert_allclose(value.loss, values[0].loss, rtol=1e-5)
        np.testing.assert_allclose(value.gradients[0], values[0].gradients[0], rtol=1e-3, atol=1e-9)


def test_warp_needs_alignment_and_reference_batches_have_room(tiny):
    surrogates = [tiny(0)]
    with pytest.raises(InputError, match="align"):
        LowKeyWarp(surrogates, options=BARE).start(sources(surrogates))
    cloak = FawkesV03(surrogates, Mode(0.005, 3, 30), CloakOptions(reference_batch=2))
    with pytest.raises(InputError, match="do not fit"):
        cloak.start(sources(surrogates))
    with pytest.raises(InputError, match="as targets"):
        cloak.start(Sources(FACES[:1], [None], [0]))


def test_a_reference_batch_couples_its_pictures(tiny):
    """Q5: the direction is the batch's, grey padding included."""
    surrogates = [tiny(0)]
    alone = FawkesV03(surrogates, Mode(0.005, 3, 30)).start(sources(surrogates, slice(0, 2))).references[0]
    padded = FawkesV03(surrogates, Mode(0.005, 3, 30), CloakOptions(reference_batch=3)).start(
        sources(surrogates, slice(0, 2))
    )
    own, aim = (surrogates[0].embed(p[:2]) for p in (FACES, FACES.roll(1, 0)))
    np.testing.assert_allclose(alone, 2 * aim - own, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(padded.references[0], own + 2 * (aim - own).sum(0) / 3, rtol=1e-4, atol=1e-4)
