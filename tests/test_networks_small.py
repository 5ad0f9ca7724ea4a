"""The small networks: what they answer untrained, what depends on what, and what they refuse."""

from typing import Any

import pytest

WHY = "needs the extra `networks`; make test-all has it"
torch = pytest.importorskip("torch", reason=WHY)

from benchmarks.networks.small import (
    ARCHITECTURES,
    Attention,
    build_network,
)

IMAGES: dict[str, Any] = {"name": "unet", "channels": 1, "width": 8, "multipliers": [1, 2]}
SEQUENCES: dict[str, Any] = {
    **{"name": "unet", "channels": 4, "width": 8, "multipliers": [1, 2, 2], "dims": 1},
    "attention": True,
}
POINTS: dict[str, Any] = {"name": "mlp", "dim": 2, "width": 16, "depth": 2}
CASES = [(IMAGES, (1, 8, 8)), (SEQUENCES, (4, 48)), (POINTS, (2,)), (POINTS, (1, 2))]


def randomised(arch: dict[str, Any]) -> Any:
    """A network without the zeros that it starts with."""
    network = build_network(arch)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def inputs(shape: tuple[int, ...], n: int = 5) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn((n, *shape), generator=generator)
    return x, torch.linspace(-1.5, 1.1, n)


@pytest.mark.parametrize(("arch", "shape"), CASES)
def test_an_untrained_network_answers_zero(arch: dict[str, Any], shape: tuple[int, ...]) -> None:
    x, time = inputs(shape)
    out = build_network(arch)(x, time)
    assert out.shape == x.shape
    assert not out.any()


@pytest.mark.parametrize(("arch", "shape"), CASES)
def test_samples_of_a_batch_do_not_see_each_other(
    arch: dict[str, Any], shape: tuple[int, ...]
) -> None:
    """Norms are taken within a sample; the tolerance is for sums in another order."""
    network, (x, time) = randomised(arch), inputs(shape)
    together = network(x, time)
    alone = torch.cat([network(x[i : i + 1], time[i : i + 1]) for i in range(len(x))])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("arch", "shape"), CASES)
def test_every_weight_and_the_time_have_a_part_in_the_answer(
    arch: dict[str, Any], shape: tuple[int, ...]
) -> None:
    network, (x, time) = randomised(arch), inputs(shape)
    time.requires_grad_()
    network(x, time).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
    assert time.grad.all()


def test_dropout_is_there_while_training_only() -> None:
    network, (x, time) = randomised({**IMAGES, "dropout": 0.5}), inputs((1, 8, 8))
    assert torch.equal(network(x, time), network(x, time))
    network.train()
    assert not torch.equal(network(x, time), network(x, time))


@pytest.mark.parametrize("shape", [(16, 12), (16, 3, 4)])
def test_attention_moves_with_a_permutation_of_the_places(shape: tuple[int, ...]) -> None:
    """It knows no positions; single precision, sums in another order."""
    attention, (x, _) = Attention(16), inputs(shape)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.normal_(0.0, 0.3, generator=torch.Generator().manual_seed(3))
    flat = x.flatten(2)
    order = torch.randperm(flat.shape[2], generator=torch.Generator().manual_seed(4))
    moved = attention(flat[:, :, order].reshape(x.shape)).flatten(2)
    torch.testing.assert_close(moved, attention(x).flatten(2)[:, :, order], rtol=1e-4, atol=1e-4)


def test_but_for_the_norms_an_answer_depends_on_its_neighbourhood() -> None:
    """With the norms taken out: one level's eight convolutions of width 3 reach 8 places."""
    arch = {"name": "unet", "channels": 4, "width": 8, "multipliers": [1], "dims": 1}
    network, (x, time) = randomised(arch), inputs((4, 64), 1)
    x.requires_grad_()
    network.apply(lambda m: m.register_forward_hook(_identity) if _is_norm(m) else None)
    network(x, time)[0, :, 32].sum().backward()
    reached = x.grad[0].abs().sum(dim=0).nonzero().flatten()
    assert (int(reached.min()), int(reached.max())) == (32 - 8, 32 + 8)


def test_a_level_on_the_way_up_sees_what_its_level_left_on_the_way_down() -> None:
    network, (x, time), left, seen = randomised(IMAGES), inputs((1, 8, 8)), [], []
    for level in network.down:
        level[-1].register_forward_hook(lambda _, __, out: left.append(out))
    for level in network.up:
        level[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network(x, time)
    for given, out in zip(seen, reversed(left), strict=True):
        assert torch.equal(given[:, -out.shape[1] :], out)


def _is_norm(module: Any) -> bool:
    return isinstance(module, torch.nn.GroupNorm)


def _identity(_: Any, inputs: Any, __: Any) -> Any:
    return inputs[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "unets"}, "network must be one of mlp, unet, got 'unets'; did you mean 'unet'?"),
        ({"widht": 3}, "option of unet must be one of .*, got 'widht'; did you mean 'width'?"),
        ({"width": 0}, "width must be a whole number in 1..4096, got 0"),
        ({"width": "8"}, "width must be a number or a list of them, got '8'"),
        ({"multipliers": []}, "multipliers must be 1 to 8 numbers, got 0"),
        ({"multipliers": [1, 10**9]}, "multipliers must be a whole number in 1..64"),
        ({"multipliers": 3}, "network must have good options, got 'int' object"),
        ({"dims": 3}, "dims must be 1 or 2, got 3"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
    ],
)
def test_descriptions_are_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_network(IMAGES | change)


def test_inputs_of_another_shape_are_refused() -> None:
    for arch, shape, words in (
        (IMAGES, (2, 8, 8), "x must have 1 channels and 2 axes a sample"),
        (IMAGES, (1, 8), "x must have 1 channels and 2 axes a sample"),
        (IMAGES, (1, 7, 8), "x must have sides divisible by 2"),
        (POINTS, (3,), "x must have 2 coordinates a sample, got 3"),
    ):
        with pytest.raises(ValueError, match=words):
            build_network(arch)(*inputs(shape))


def test_every_architecture_is_tested_here() -> None:
    assert set(ARCHITECTURES) == {arch["name"] for arch, _ in CASES}
