"""A batch on a Ray cluster of two nodes, one of which is lost in the middle."""

from pathlib import Path

import pytest
from test_batch import image, outputs, pictures, report

ray = pytest.importorskip("ray", reason="needs the extra ray")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("toy_engines")
def test_a_lost_node_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.cluster_utils import Cluster

    from bshm_live.commands import batch

    given, one, two = pictures(tmp_path / "in", 40), tmp_path / "one", tmp_path / "two"
    assert image("-i", given, "-d", one) == 0
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    told = []

    def say(text: str) -> None:
        told.append(text)
        if len(told) == 10:
            cluster.remove_node(node, allow_graceful=False)

    monkeypatch.setattr(batch, "say", say)
    try:
        assert image("-i", given, "-d", two, "--ray", cluster.address) == 0
    finally:
        cluster.shutdown()
    assert outputs(one) == outputs(two)
    assert len(report(two)) == 40
