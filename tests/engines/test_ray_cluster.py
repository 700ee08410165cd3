"""The Ray engine by itself, on a real cluster: what goes in comes out once, and what breaks says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from auditkit.auditing.elsewhere import _check_nodes
from auditkit.engines.base import Cluster
from auditkit.engines.ray_engine import RayEngine, Workers
from auditkit.engines.ray_pipeline import BLOCKS_EACH, blocks_of
from auditkit.errors import AuditkitError, DataError, ModelError, RunError

from .clusters import NODES, Nodes
from .works import SECRET, Doubling, FallingOnce, NeverOpens, Trouble, Waiting

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(nodes: Nodes) -> Iterator[Cluster]:
    with RayEngine(kind="ray", address=nodes.address, attempts=2).running() as cluster:
        assert cluster is not None
        yield cluster


def test_every_unit_comes_back_once(cluster: Cluster) -> None:
    made = list(cluster.map("score", Doubling(cluster.share(np.arange(100) * 3)), range(40)))
    assert sorted(made) == [(number, number * 6) for number in range(40)]


def test_units_of_one_block_come_back_as_they_are_done(cluster: Cluster, tmp_path: Path) -> None:
    count, sign = 2 * BLOCKS_EACH * NODES, tmp_path / "sign"
    assert blocks_of(count, NODES) == count // 2, "an even and an odd number are a block"
    made = {}
    for position, in_time in cluster.map("score", Waiting(sign, 20), range(count)):
        made[position] = in_time
        sign.touch()
    assert made == dict.fromkeys(range(count), True)


def test_a_block_whose_worker_died_loses_and_repeats_nothing(cluster: Cluster, tmp_path: Path) -> None:
    fallen = tmp_path / "fallen"
    made = list(cluster.map("score", FallingOnce(201, fallen), range(400)))
    assert fallen.exists()
    assert sorted(made) == [(number, number) for number in range(400)]


@pytest.mark.parametrize("others", [1, 120])
def test_a_unit_that_ends_every_worker_ends_the_run_and_is_named(cluster: Cluster, others: int) -> None:
    """Also where others of its block were done before it, again and again."""
    with pytest.raises(RunError, match="the unit of number kill: 2 workers died over it") as caught:
        list(cluster.map("score", Trouble(), [*range(others), "kill", *range(others)]))
    assert caught.value.hint


@pytest.mark.parametrize(("unit", "kind"), [("model", ModelError), ("data", DataError)])
def test_errors_arrive_as_they_were_raised(cluster: Cluster, unit: str, kind: type[AuditkitError]) -> None:
    with pytest.raises(kind) as caught:
        list(cluster.map("score", Trouble(), [unit]))
    assert type(caught.value) is kind
    assert unit != "model" or caught.value.hint == "give others"


def test_other_errors_quote_nothing(cluster: Cluster) -> None:
    with pytest.raises(RunError, match=r"a worker broke: KeyError at works.py:\d+") as caught:
        list(cluster.map("score", Trouble(), ["quote"]))
    assert SECRET not in str(caught.value)


def test_work_that_cannot_be_opened_says_why(cluster: Cluster) -> None:
    with pytest.raises(ModelError, match="cannot be opened here"):
        list(cluster.map("score", NeverOpens(), range(3)))


def test_a_node_that_lacks_a_file_is_named(cluster: Cluster) -> None:
    _check_nodes(cluster, {__file__: "generate"})
    with pytest.raises(AuditkitError, match=r"the node .+ cannot read /no/such/model") as caught:
        _check_nodes(cluster, {__file__: "generate", "/no/such/model": "generate"})
    assert "engine.generate: driver" in caught.value.hint


def test_every_node_is_asked(cluster: Cluster) -> None:
    assert len(cluster.everywhere(_answer)) == NODES


def _answer() -> int:
    return 1


def test_a_worker_that_no_node_has_room_for_is_refused(nodes: Nodes, cluster: Cluster) -> None:
    engine = RayEngine(kind="ray", address=nodes.address, generate=Workers(gpus=8))
    with pytest.raises(AuditkitError, match=r"no room|no node .* engine.generate: 1 CPUs, 8 GPUs"), engine.running():
        pass


def test_provenance_names_nobody(cluster: Cluster) -> None:
    told = cluster.provenance()
    assert told["nodes"] == NODES
    assert told["generate"] == "workers"
    assert told["probes"] == "driver"
    assert not any("." in str(value) for key, value in told.items() if key != "ray")
