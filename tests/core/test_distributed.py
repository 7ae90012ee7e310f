"""Several processes give what one gives on the joined batch; who starts them; what happens when one fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from submitit.helpers import TorchDistributedEnvironment
from submitit.slurm.slurm import _parse_node_list
from torch import Tensor, nn
from toy import TOY
from two_processes import CASES, TIMEOUT_S, Pair, State, config_of, free_port, largest_differences, train

from simclr_core.config.options import ConfigError
from simclr_core.config.recipes import recipe
from simclr_core.config.runtime import RuntimeConfig
from simclr_core.config.schema import RunConfig
from simclr_core.methods import build_network
from simclr_core.networks.batch_norm import set_batch_norm_extent, synchronise_batch_norm
from simclr_core.networks.heads import _ScaleOnlyBatchNorm
from simclr_core.processes import distributed
from simclr_core.processes.distributed import World, agree, average_gradients, from_main, gather, joined, world
from simclr_core.processes.launched import Launched, first_host

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "gpu1", "MASTER_PORT": "29500"}
SRUN = {
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "2",
    "SLURM_NTASKS": "4",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_LOCALID": "0",
    "SLURM_JOB_NODELIST": "gpu[07-10]",
    "SLURM_STEP_NODELIST": "gpu[09-10]",
}
ROUNDING = 1e-11
"""Of float64, after five steps that amplify it; the differences are about 1e-13."""


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as processes:
        yield processes


# Who starts the processes.


def test_torchruns_variables() -> None:
    assert Launched.from_environment(TORCHRUN) == Launched(3, 4, 1, "gpu1", 29500)


def test_a_slurm_step_meets_at_its_first_host() -> None:
    launched = Launched.from_environment(SRUN)
    next_job = Launched.from_environment(SRUN | {"SLURM_JOB_ID": "78"})

    assert (launched.rank, launched.size, launched.local_rank, launched.address) == (2, 4, 0, "gpu09")
    assert 20_000 <= launched.port < 32_768
    assert launched.port != next_job.port
    assert launched.port == Launched.from_environment(SRUN | {"SLURM_PROCID": "3", "SLURM_LOCALID": "1"}).port


def test_what_is_set_wins_over_what_slurm_says() -> None:
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1234"}

    assert Launched.from_environment(SRUN | address) == Launched(2, 4, 0, "127.0.0.1", 1234)
    assert Launched.from_environment(SRUN | TORCHRUN) == Launched.from_environment(TORCHRUN)


def test_submitits_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What submitit exports for torch from the variables of its job is what counts then."""
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    for name in ("LOCAL_WORLD_SIZE", "CUDA_VISIBLE_DEVICES", *TORCHRUN):
        monkeypatch.setenv(name, "")  # so that what submitit sets is taken back afterwards
        monkeypatch.delenv(name)
    exported = TorchDistributedEnvironment().export()
    launched = Launched.from_environment()

    assert (launched.rank, launched.size, launched.local_rank) == (2, 4, 0)
    assert (launched.address, launched.port) == (exported.master_addr, exported.master_port)


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="a terminal"),
        pytest.param({"MASTER_ADDR": "gpu1", "MASTER_PORT": "1"}, id="an address alone"),
        pytest.param(
            {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}, id="a batch script"
        ),
        pytest.param(SRUN | {"SLURM_STEP_NUM_TASKS": "1"}, id="a shell started by srun or salloc"),
        pytest.param({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, id="torchrun with one process"),
    ],
)
def test_a_process_that_is_alone(environ: dict[str, str]) -> None:
    assert Launched.from_environment(environ) == Launched(0, 1, 0)


def test_all_that_is_wrong_with_the_variables_comes_at_once() -> None:
    with pytest.raises(ConfigError) as partial:
        Launched.from_environment({"RANK": "one", "WORLD_SIZE": "2", "MASTER_PORT": "99999"})
    with pytest.raises(ConfigError) as contradictory:
        Launched.from_environment(TORCHRUN | {"RANK": "4", "LOCAL_RANK": "-1"})

    assert partial.value.problems == [
        "RANK = 'one': expected an integer",
        "LOCAL_RANK: missing, though RANK, WORLD_SIZE are set",
        "MASTER_ADDR: missing; expected the host name of the machine of process 0",
        "MASTER_PORT = '99999': expected 1 to 65535",
    ]
    assert contradictory.value.problems == [
        "RANK = 4: expected 0 to 3, since WORLD_SIZE = 4",
        "LOCAL_RANK = -1: expected 0 to 3, since WORLD_SIZE = 4",
    ]


@pytest.mark.parametrize("nodes", ["n1", "n1,m2", "gpu[007-010,12],cpu3", "gpu[3,5-6]", "r1n[2-3]-ib", "a-b.c,d"])
def test_the_first_host_is_the_one_that_submitit_reads(nodes: str) -> None:
    assert first_host(nodes) == _parse_node_list(nodes)[0]


def test_each_process_takes_the_gpu_of_its_local_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def device(name: str, num_gpus: int, local_rank: int, size: int = 4) -> str:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
        return str(distributed._pick_device(name, Launched(local_rank, size, local_rank)))

    assert device("auto", num_gpus=4, local_rank=3) == "cuda:3"
    assert device("cuda", num_gpus=1, local_rank=3) == "cuda:0"  # the launcher shows each process its own
    assert device("cpu", num_gpus=4, local_rank=3) == "cpu"
    assert device("cuda:2", num_gpus=4, local_rank=0, size=1) == "cuda:2"
    with pytest.raises(ConfigError, match=r"runtime\.device = 'auto': process 4 of a machine with 2 GPUs"):
        device("auto", num_gpus=2, local_rank=3)
    with pytest.raises(ConfigError, match=r"runtime\.device = 'cuda:1': one GPU for 4 processes; expected 'cuda'"):
        device("cuda:1", num_gpus=4, local_rank=1)


def test_a_device_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"runtime\.device = 'cuda': torch sees no GPU; torch "):
        distributed.device_of("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"runtime\.device = 'cuda:2': torch sees 2 GPUs here, numbered from 0"):
        distributed.device_of("cuda:2")
    with pytest.raises(ConfigError, match=r"runtime\.device = 'xpu:99': cannot be used here"):
        distributed.device_of("xpu:99")
    with pytest.raises(ConfigError, match=r"runtime\.device = 'gpu': expected auto, cpu, cuda"):
        distributed.device_of("gpu")
    assert str(distributed.device_of("cuda:1")) == "cuda:1"


# What they exchange.


def test_slices_in_rank_order_are_the_batch() -> None:
    batch = list(range(12))

    assert [i for rank in range(4) for i in batch[World(rank, 4).slice_of(12)]] == batch
    with pytest.raises(ConfigError) as error:
        World(0, 4).slice_of(10)
    assert error.value.problems == [
        "training.global_batch_size = 10: 4 processes cannot share it equally; the nearest that they can: 8, 12"
    ]
    with pytest.raises(ConfigError, match=r"they can: 4$"):
        World(0, 4).slice_of(3)


def test_alone_nothing_is_exchanged_or_converted() -> None:
    rows = torch.ones(2, 3)
    layer = nn.BatchNorm1d(3)
    network = nn.Sequential(layer)
    parameter = nn.Parameter(torch.ones(1))
    parameter.grad = torch.full((1,), 5.0)
    average_gradients([parameter])
    agree({"seed": 0})

    with joined("cpu", Launched()) as alone:
        assert alone == world() == World()
    assert gather(rows) is rows
    synchronise_batch_norm(network)
    set_batch_norm_extent(network, recipe("simclr_mini").training)
    assert list(network) == [layer]
    assert parameter.grad.item() == 5
    assert from_main(lambda: 7) == 7


def weighted(rows: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    own = rows[2 * world().rank : 2 * world().rank + 2].requires_grad_()
    gathered = gather(own)
    (gathered * weights[world().rank]).sum().backward()
    return gathered.detach(), own.grad


def test_gathered_rows_take_the_sum_of_all_processes_gradients(pair: Pair) -> None:
    source = torch.Generator().manual_seed(0)
    rows, weights = torch.rand(4, 3, generator=source), torch.rand(2, 4, 3, generator=source)
    answers = pair.run(weighted, rows, weights)

    for rank, (gathered, gradient) in enumerate(answers):
        assert torch.equal(gathered, rows)
        torch.testing.assert_close(gradient, weights.sum(0)[2 * rank : 2 * rank + 2])


def averaged() -> list[Tensor | None]:
    distributed._BUCKET = 5  # so that there are several
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in ((2, 3), (1,), (2,), (7,))]
    for number, parameter in enumerate(parameters):
        if number != 1:
            parameter.grad = torch.arange(parameter.numel()).view_as(parameter) * 2.0 * world().rank + number
    parameters[0].grad = parameters[0].grad.T.contiguous().T  # as channels_last has it: not in the order of its rows
    average_gradients(parameters)
    distributed._BUCKET = 2**23
    return [parameter.grad for parameter in parameters]


def test_gradients_become_their_mean_and_absent_ones_stay_absent(pair: Pair) -> None:
    for gradients in pair.run(averaged):
        assert gradients[1] is None
        for number, shape in ((0, (2, 3)), (2, (2,)), (3, (7,))):
            expected = torch.arange(float(np.prod(shape))).view(shape) + number
            assert torch.equal(gradients[number], expected)


def disagreement(mine: list[dict[str, object]]) -> list[str]:
    try:
        agree(mine[world().rank])
    except ConfigError as error:
        return error.problems
    return []


def test_processes_that_disagree_are_told_all_of_it(pair: Pair) -> None:
    settings = {"seed": 0, "method.temperature": 0.1, "data.name": "photos"}
    other = settings | {"seed": 1, "method.temperature": 0.2, "views.kind": "pair"}

    expected = [
        "seed: 0 in process 0; 1 in process 1; expected the same in all",
        "method.temperature: 0.1 in process 0; 0.2 in process 1; expected the same in all",
        "views.kind: missing in process 0; 'pair' in process 1; expected the same in all",
    ]

    assert pair.run(disagreement, [settings, settings]) == [[], []]
    assert pair.run(disagreement, [settings, other]) == [expected, expected]


def told_by_main(fails: bool) -> tuple[str, object]:
    def look() -> int:
        if fails:
            raise ConfigError([f"looked in process {world().rank}", "and found nothing"])
        return world().rank

    try:
        return "returned", from_main(look)
    except ConfigError as error:
        return str(error), error.problems


def test_what_process_0_finds_or_raises_is_found_or_raised_by_all(pair: Pair) -> None:
    problems = ["looked in process 0", "and found nothing"]

    assert pair.run(told_by_main, False) == [("returned", 0)] * 2
    assert pair.run(told_by_main, True) == [("\n".join(problems), problems)] * 2


MEETINGS = """
import torch
from simclr_core.processes.distributed import gather, joined, world
for _ in range(2):
    with joined("cpu") as members:
        ranks = gather(torch.tensor([members.rank]))
    assert not torch.distributed.is_initialized()
    assert world().size == 1
    print(ranks.tolist())
"""


def test_processes_that_torchrun_started_join_for_one_run_after_the_other(tmp_path: Path) -> None:
    script = tmp_path / "meetings.py"
    script.write_text(MEETINGS)
    process = start("torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script), cwd=tmp_path)
    output, errors = process.communicate(timeout=TIMEOUT_S)

    assert process.returncode == 0, errors
    assert output.count("[0, 1]") == 4


def fail_in_process_1() -> None:
    if world().rank == 1:
        raise ValueError("one process alone finds fault")
    gather(torch.ones(1))


def test_a_failing_process_ends_the_other_instead_of_leaving_it_to_wait() -> None:
    with Pair() as doomed:
        (first_failed, first), (second_failed, second) = doomed.attempt(fail_in_process_1)

    assert first_failed
    assert second_failed
    assert "one process alone finds fault" in second
    assert "This is process 0 of 2. If it lost a connection, then another process has ended before it" in first


# Batch normalisation.

LAYERS = {
    "affine": lambda: nn.BatchNorm1d(4),
    "scale_only": lambda: _ScaleOnlyBatchNorm(4),
    "no_affine": lambda: nn.BatchNorm1d(4, affine=False),
    "2d": lambda: nn.BatchNorm2d(4),
}


def norm_of(name: str, *, shift: float = 0.0) -> nn.Module:
    layer = LAYERS[name]().double()
    with torch.no_grad():
        for number, parameter in enumerate(layer.parameters()):
            parameter.copy_(torch.arange(4) + number + 0.5)
        layer.running_mean.copy_(torch.arange(4) + shift)
    return layer


def normalise(layer: nn.Module, x: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Two passes, so that the running statistics move twice; output and gradients of the second."""
    x = x.requires_grad_()
    layer(x)
    y = layer(x)
    (y * weights).sum().backward()
    state = {f"state {name}": value for name, value in layer.state_dict().items()}
    gradients = {f"gradient {name}": p.grad for name, p in layer.named_parameters()}
    return {"y": y.detach(), "x": x.grad, **state, **gradients}


def normalise_share(name: str, shares: list[Tensor], weights: list[Tensor]) -> dict[str, Tensor]:
    network = nn.Sequential(norm_of(name))
    synchronise_batch_norm(network)
    return normalise(network[0], shares[world().rank], weights[world().rank])


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("share", [3, 4])
def test_synchronised_batch_norm_is_torchs_on_the_joined_batch(name: str, share: int, pair: Pair) -> None:
    source = torch.Generator().manual_seed(0)
    shape = (8, 4, 3, 2) if name == "2d" else (8, 4)
    x, weights = (torch.randn(shape, generator=source, dtype=torch.float64) for _ in range(2))
    parts = (share, 8 - share)
    first, second = pair.run(normalise_share, name, x.split(parts), weights.split(parts))
    expected = normalise(norm_of(name), x.clone(), weights)

    assert list(first) == list(expected)
    for key, value in expected.items():
        if key in {"y", "x"}:
            both = torch.cat([first[key], second[key]])
        elif key.startswith("gradient"):
            both = first[key] + second[key]  # each process has its own share of the sum
        else:
            both = first[key]
            assert torch.equal(both, second[key]), f"{key} differs between the processes"
        torch.testing.assert_close(both, value, rtol=1e-12, atol=1e-12)


def normalise_in_bfloat16(x: Tensor, weights: Tensor, half: int) -> list[Tensor]:
    network = nn.Sequential(nn.BatchNorm2d(4))
    synchronise_batch_norm(network)
    if world().size > 1:
        x, weights = (t[half * world().rank :][:half] for t in (x, weights))
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = network(x)
    (y.float() * weights).sum().backward()
    return [y.detach(), x.grad, network[0].running_mean, network[0].running_var]


def test_in_bfloat16_the_statistics_are_float32(pair: Pair) -> None:
    """Activations as autocast makes them; a channel's mean is large, so that bfloat16 statistics would be far off."""
    source = torch.Generator().manual_seed(0)
    x = (torch.randn(8, 4, 3, 2, generator=source) + 50).bfloat16()
    weights = torch.randn(8, 4, 3, 2, generator=source)
    first, second = pair.run(normalise_in_bfloat16, x, weights, 4)
    y, of_x, mean, var = normalise_in_bfloat16(x, weights, 4)
    exact = x.double().transpose(0, 1).flatten(1)

    assert first[0].dtype == first[1].dtype == y.dtype == torch.bfloat16
    torch.testing.assert_close(torch.cat([first[0], second[0]]), y)
    torch.testing.assert_close(torch.cat([first[1], second[1]]), of_x)
    torch.testing.assert_close(first[2], mean)
    torch.testing.assert_close(first[3], var)
    torch.testing.assert_close(first[2].double(), 0.1 * exact.mean(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(first[3].double(), 0.9 + 0.1 * exact.var(1), rtol=1e-6, atol=0)


def running_variance(shares: list[Tensor]) -> Tensor:
    network = nn.Sequential(nn.BatchNorm1d(1, momentum=1.0))
    synchronise_batch_norm(network)
    network(shares[world().rank])
    return network[0].running_var


def test_a_large_mean_does_not_cancel_the_variance(pair: Pair) -> None:
    """Sums of squares in float32 would leave no digit of it: 1e8 has a spacing of 8."""
    x = torch.randn(64, 1, generator=torch.Generator().manual_seed(0)) + 1e4
    naive = ((x**2).sum() - x.sum() ** 2 / 64) / 63
    (found, _) = pair.run(running_variance, x.split(32))

    assert found.item() == pytest.approx(x.double().var().item(), rel=1e-4)
    assert naive.item() != pytest.approx(x.double().var().item(), rel=0.1)


def states_of_conversion() -> tuple[bool, bool, bool, bool]:
    config = config_of("SimCLR, joint, SGD")
    torch.manual_seed(0)
    network = build_network(config).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(world().rank))  # unlike the other's
    expected = network.features(images)
    synchronise_batch_norm(network)
    same_state = list(before) == list(network.state_dict())
    same_eval = torch.equal(network.features(images), expected)
    norm = network.train().backbone.bn1
    norm.track_running_stats = False
    network.features(images)
    left_alone = torch.equal(norm.running_mean, before["backbone.bn1.running_mean"])
    others_moved = not torch.equal(
        network.backbone.layer1[0].bn1.running_mean, before["backbone.layer1.0.bn1.running_mean"]
    )
    return same_state, same_eval, left_alone, others_moved


def test_conversion_keeps_the_state_dict_eval_mode_and_frozen_statistics(pair: Pair) -> None:
    assert pair.run(states_of_conversion) == [(True, True, True, True)] * 2


# Training.


def train_exactly(config: RunConfig) -> State:
    return train(config, float64=True)


def assert_same_training(pair: Pair, config: RunConfig) -> None:
    first, second = pair.run(train_exactly, config)
    one = train_exactly(config)

    for kind, tensors in first.items():
        assert all(torch.equal(tensor, second[kind][name]) for name, tensor in tensors.items()), kind
    assert {kind: value for kind, value in largest_differences(one, first).items() if value > ROUNDING} == {}
    assert any(
        not torch.equal(value, one["parameters"][f"net.{name}"])
        for name, value in build_network(config).named_parameters()
    )


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one_on_the_joined_batch(case: str, pair: Pair) -> None:
    """Loss of five steps, every gradient and BN statistic of the first, every parameter after the last."""
    assert_same_training(pair, config_of(case))


@pytest.mark.parametrize(
    ("case", "values"),
    [
        ("SimCLR, joint, SGD", {"method__normalize": False, "method__temperature": 10}),
        ("SimCLR, joint, SGD", {"method__negatives": "other_view"}),
        ("SimCLR, joint, SGD", {"method__loss": "nt_logistic"}),
        ("SimCLR, joint, SGD", {"method__loss": "margin_triplet", "method__semi_hard": True}),
        ("SimCLR, joint, SGD", {"training__views_forward": "separate"}),
        ("SimSiam, separate, SGD", {"training__views_forward": "joint"}),
        ("SimSiam, separate, SGD", {"method__stop_gradient": False}),
        ("SimSiam, separate, SGD", {"predictor__trained": False}),
    ],
)
def test_so_they_do_with_other_objectives(case: str, values: dict[str, object], pair: Pair) -> None:
    assert_same_training(pair, config_of(case, **values))


@pytest.mark.parametrize(
    ("case", "device_batch_size"),
    [("SimCLR, joint, SGD", 4), ("SimCLR, joint, SGD", 8), ("SimSiam, separate, SGD", 8)],
)
def test_statistics_per_device_do_not_depend_on_the_number_of_processes(
    case: str, device_batch_size: int, pair: Pair
) -> None:
    """Not with fewer rows: over two, a last bit changed in the weights makes 3e-4 of SimSiam's loss in five steps."""
    batch = {"training__global_batch_size": 16}
    config = config_of(case, training__batch_norm="per_device", training__device_batch_size=device_batch_size, **batch)
    joined_statistics = largest_differences(train_exactly(config_of(case, **batch)), train_exactly(config))

    assert_same_training(pair, config)
    assert joined_statistics["gradients"] > 1e-3  # it is another experiment


def test_statistics_per_device_are_those_of_two_layers() -> None:
    """Two devices of 4 images, each with the rows of both of their views: torch's layer on either by itself."""
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    config = config_of("SimCLR, joint, SGD", training__batch_norm="per_device", training__device_batch_size=4)
    network = nn.Sequential(norm_of("affine"))
    set_batch_norm_extent(network, config.training)
    (layer,) = network
    first, second = norm_of("affine"), norm_of("affine")
    of_first, of_second = torch.tensor([0, 1, 2, 3, 8, 9, 10, 11]), torch.tensor([4, 5, 6, 7, 12, 13, 14, 15])
    y = layer(x)

    torch.testing.assert_close(y[of_first], first(x[of_first]))
    torch.testing.assert_close(y[of_second], second(x[of_second]))
    torch.testing.assert_close(layer.running_mean, (first.running_mean + second.running_mean) / 2)
    torch.testing.assert_close(layer.running_var, (first.running_var + second.running_var) / 2)
    assert list(layer.state_dict()) == list(first.state_dict())


def problems_with(config: RunConfig) -> list[str]:
    try:
        set_batch_norm_extent(nn.Sequential(nn.BatchNorm1d(4)), config.training)
    except ConfigError as error:
        return error.problems
    return []


def test_a_device_is_not_cut_in_two(pair: Pair) -> None:
    config = config_of("SimCLR, joint, SGD", training__batch_norm="per_device", training__device_batch_size=8)

    expected = (
        "training.device_batch_size = 8: the 1 devices of a batch of 8 images cannot be divided among 2 processes;"
        " expected 1 processes"
    )

    assert pair.run(problems_with, config) == [[expected]] * 2


# From the command line.


@pytest.fixture
def arguments(toy_runtime: RuntimeConfig) -> list[str]:
    """A run of five steps on 40 small images of two classes, whose views have pixel noise."""
    values = TOY | {
        "recipe": "simclr_mini",
        "views.kind": "pair",
        "views.second": "noise",
        "training.knn_epochs": 1,
        "runtime.device": "cpu",
        "runtime.data_dir": toy_runtime.data_dir,
        "runtime.cache_dir": toy_runtime.cache_dir,
    }
    return [f"{key}={value}" for key, value in values.items()]


def start(*command: str, cwd: Path, **variables: object) -> subprocess.Popen[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", *TORCHRUN))}
    environ |= {name: str(value) for name, value in variables.items()}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-m", *command], cwd=cwd, env=environ, text=True, **pipes)


def read_run(store: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    (run_dir,) = store.glob("[!.]*")
    metrics = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert len(list((run_dir / "evals").glob("*.json"))) == 4
    return metrics, json.loads((run_dir / "result.json").read_text())


def test_torchrun_gives_the_run_that_one_process_gives(arguments: list[str], tmp_path: Path) -> None:
    """The same metrics and result up to float32; written once, by process 0."""
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m")
    outputs = {}
    for store, launcher in (("one", ()), ("two", torchrun)):
        process = start(*launcher, "simclr_core", *arguments, f"runtime.store={store}", cwd=tmp_path)
        outputs[store], errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, errors
    metrics, result = read_run(tmp_path / "one")
    metrics_of_two, result_of_two = read_run(tmp_path / "two")

    assert [line["step"] for line in metrics_of_two] == [line["step"] for line in metrics] == [1, 2, 3, 4, 5]
    for line, line_of_two in zip(metrics, metrics_of_two, strict=True):
        assert line_of_two == pytest.approx(line, rel=1e-4)
    own = {"duration_s", "num_processes", "device_batch_size"}
    assert {k: v for k, v in result_of_two.items() if k not in own} == {
        k: pytest.approx(v, rel=1e-3) if isinstance(v, float) else v for k, v in result.items() if k not in own
    }
    assert (result["num_processes"], result["device_batch_size"]) == (1, 8)
    assert (result_of_two["num_processes"], result_of_two["device_batch_size"]) == (2, 4)
    assert outputs["two"].count("linear_top1") == 1
    assert "global batch size 8: 4 images in each of 2 processes" in outputs["two"]


def test_processes_with_different_seeds_both_end_and_say_so(arguments: list[str], tmp_path: Path) -> None:
    """Started as srun starts them."""
    port = free_port()
    processes = [
        start(
            "simclr_core",
            *arguments,
            f"seed={rank}",
            cwd=tmp_path,
            **SRUN | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_STEP_NUM_TASKS": 2},
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=TIMEOUT_S)[1] for process in processes]

    assert [process.returncode for process in processes] == [2, 2], errors
    assert all("seed: 0 in process 0; 1 in process 1; expected the same in all" in error for error in errors)
    assert not (tmp_path / "runs").exists()
