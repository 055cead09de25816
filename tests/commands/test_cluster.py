"""A batch on a Ray cluster of two nodes, one of which is lost in the middle."""

from pathlib import Path

import pytest
from test_batch import image, outputs, pictures, report

from bshm_live.commands.options import Batch, check_batch
from bshm_live.errors import SettingsError

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


@pytest.mark.usefixtures("toy_engines")
@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999", "nowhere.invalid:6379", "x"])
def test_no_cluster_is_one_line(
    tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = pictures(tmp_path / "in", 2)
    words = ("-i", given, "-d", tmp_path / "out", "--ray", address)
    assert image(*words) == SettingsError.exit_code
    assert "no cluster answers" in capsys.readouterr().err.splitlines()[-1]


def test_ray_and_workers_are_one_or_the_other() -> None:
    with pytest.raises(SettingsError, match="--ray"):
        check_batch(Batch(workers=2, ray="auto"))
