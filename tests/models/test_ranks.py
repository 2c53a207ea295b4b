"""Nodes with working folders of their own do together what one process does alone, and the first
alone writes."""

import filecmp
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from pipeline.core.paths import ADAPTERS, COMPLETIONS, CONTRASTED, REPRESENTATIONS, SAMPLED
from tests.support.rank_runs import clean, free_port, prepared, ranks

VARIANT = "sft_contrast"
FOLLOW = ("-m", "commands.cluster.follow")


def stage(name: str, *argument: str) -> tuple[str, ...]:
    return "-m", f"stages.{name}", *argument


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one process has done all."""
    return prepared(tmp_path_factory.mktemp("alone"))


@pytest.fixture
def nodes(alone: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The first node's folder, with all that `alone` holds but representations and completions;
    and the other's, with nothing but params.yaml."""
    first, other = tmp_path / "first", tmp_path / "other"
    shutil.copytree(alone, first, symlinks=True)
    for made in (REPRESENTATIONS, COMPLETIONS):
        shutil.rmtree(first / made)
    other.mkdir()
    shutil.copy(alone / "params.yaml", other)
    return first, other


def own_files(folder: Path) -> set[str]:
    """What a node's own working folder holds, but for what it was sent."""
    paths = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {str(path) for path in paths if path.parts[:2] != ("work", "nodes")}


def test_two_nodes_finetune_as_one_process(alone: Path, nodes: tuple[Path, Path]) -> None:
    first, other = nodes
    weights = ADAPTERS / VARIANT / "adapter_model.safetensors"
    (first / weights).unlink()
    for code, said in ranks(nodes, [stage("adapters", VARIANT)] * 2):
        assert code == 0, said
    expected, found = load_file(alone / weights), load_file(first / weights)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert float((found[name] - value).norm()) <= 1e-5 * float(value.norm()), name
    assert own_files(other) == {"params.yaml"}
    config = ADAPTERS / VARIANT / "adapter_config.json"
    assert (first / config).read_bytes() == (alone / config).read_bytes()


def test_two_nodes_read_the_same_bytes_as_one_process(
    alone: Path, nodes: tuple[Path, Path]
) -> None:
    """The other node is sent the adapter that only the first has. Its own folder, which holds
    another text of that name, stays as it is."""
    first, other = nodes
    stale = other / "data/texts/examples.jsonl"
    stale.parent.mkdir(parents=True)
    stale.write_text("of another run\n", encoding="utf-8")
    for code, said in ranks(nodes, [stage("representations", VARIANT), FOLLOW]):
        assert code == 0, said
    made = REPRESENTATIONS / f"{VARIANT}.safetensors"
    assert (first / made).read_bytes() == (alone / made).read_bytes()
    assert stale.read_text(encoding="utf-8") == "of another run\n"
    assert own_files(other) == {"params.yaml", "data/texts/examples.jsonl"}


def test_two_nodes_answer_as_one_process(alone: Path, nodes: tuple[Path, Path]) -> None:
    """Byte for byte, but for answers that are sampled: these are of the same requests."""
    first, other = nodes
    for code, said in ranks(nodes, [stage("completions"), FOLLOW]):
        assert code == 0, said
    sampled = [Path(name, file) for name in ("base", VARIANT) for file in (SAMPLED, CONTRASTED)]
    made = sorted(
        p.relative_to(alone / COMPLETIONS) for p in (alone / COMPLETIONS).rglob("*.jsonl")
    )
    assert set(sampled) < set(made)
    same, *_ = filecmp.cmpfiles(
        alone / COMPLETIONS, first / COMPLETIONS, map(str, made), shallow=False
    )
    assert set(made) - set(map(Path, same)) <= set(sampled)
    for path in sampled:
        whole, parted = (
            [json.loads(line) for line in (folder / path).read_text("utf-8").splitlines()]
            for folder in (alone / COMPLETIONS, first / COMPLETIONS)
        )
        assert [(a["request"], a["sample"]) for a in whole] == [
            (a["request"], a["sample"]) for a in parted
        ]
        assert any(answer["text"] for answer in parted) or not whole
    assert own_files(other) == {"params.yaml"}


STATE = """
import os
from pathlib import Path
import torch
from pipeline.models import distributed
from pipeline.models.checkpoints import Checkpoint
distributed.join(torch.device("cpu"))
kept = Checkpoint(Path("state"), "key", every=1).load()
assert kept is not None
assert kept[1] == {"done": 2}
assert kept[0]["x"].tolist() == [1.0, 1.0]
Checkpoint(Path("state"), "key", every=1).save({}, {"done": 3})
Path("seen").touch()
distributed.wait()
distributed.leave()
"""


def test_the_first_ranks_state_is_every_ranks(tmp_path: Path) -> None:
    """A node that kept nothing goes on from it, and so does one that kept an older state."""
    folders = [tmp_path / "first", tmp_path / "other"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        keep = f"torch.ones(2) * {1 - number}" + "}, {" + f"'done': {2 - number}"
        code = "import torch; from pathlib import Path; "
        code += "from pipeline.models.checkpoints import Checkpoint; "
        code += "Checkpoint(Path('state'), 'key', 1).save({'x': " + keep + "})"
        subprocess.run([sys.executable, "-c", code], cwd=folder, env=clean(), check=True)
    older = (folders[1] / "state").read_bytes()
    for code, said in ranks(folders, [("-c", STATE)] * 2):
        assert code == 0, said
        assert (folders[0] / "seen").exists()
    assert (folders[1] / "state").read_bytes() == older


def test_nodes_of_other_params_stop_in_one_line(nodes: tuple[Path, Path]) -> None:
    first, other = nodes
    text = (other / "params.yaml").read_text(encoding="utf-8")
    (other / "params.yaml").write_text(
        text.replace("learning_rate: 3.0e-3", "learning_rate: 0.001"), encoding="utf-8"
    )
    before = own_files(first)
    for code, said in ranks(nodes, [stage("adapters", VARIANT)] * 2):
        assert code == 2
        (line,) = said.strip().splitlines()
        assert line.startswith("error: rank 1 at ")
        assert "params pretraining.learning_rate is 0.001 and 0.003 there" in line
        assert "copy one params.yaml to every node" in line
    assert own_files(first) == before
    assert own_files(other) == {"params.yaml"}


@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_a_node_follows_what_the_first_one_launches(
    launcher: str, nodes: tuple[Path, Path]
) -> None:
    """The commands of docs/scaling.md, on this machine: LEGIBLE_LAUNCH on the first node."""
    port = free_port()
    words = {
        "torchrun": f"-m torch.distributed.run --nnodes 2 --nproc-per-node 1 "
        f"--master-addr 127.0.0.1 --master-port {port} --node-rank",
        "accelerate": f"-m accelerate.commands.launch --multi_gpu --num_machines 2 "
        f"--num_processes 2 --mixed_precision no --dynamo_backend no "
        f"--main_process_ip 127.0.0.1 --main_process_port {port} --machine_rank",
    }[launcher]
    launch = f"{sys.executable} {words}"
    first, other = nodes
    made = first / REPRESENTATIONS / "base.safetensors"
    with subprocess.Popen(
        [*shlex.split(launch), "1", *FOLLOW], cwd=other, env=clean(),
        stderr=subprocess.PIPE, text=True,
    ) as follower:  # fmt: skip
        done = subprocess.run(
            [sys.executable, *stage("representations", "base")], cwd=first, check=False,
            env=clean(LEGIBLE_LAUNCH=f"{launch} 0"), capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said = follower.communicate(timeout=120)[1]
        assert follower.returncode == 0, said
    assert made.is_file()
    assert own_files(other) == {"params.yaml"}
