"""The training loop of the documentation, run as printed: on one process, with DDP on two."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `networks`; make test-all has it")

ROOT = Path(__file__).parents[1]
BEFORE = """
import json, sys
from functools import partial
import numpy as np
import torch
from theory.infonoise.allocation import InfoNoise, edm_weight

rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
seed, dim = 3, 12
torch.manual_seed(seed)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 3, 1)
        torch.nn.init.zeros_(self.layer.weight)

    def forward(self, x, level):  # EDM's skip, for data of std 1/2
        return 0.25 / (0.25 + level.view(-1, 1, 1, 1) ** 2) * x + self.layer(0 * x)


net = Net()
if world > 1:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world
    )
    net = torch.nn.parallel.DistributedDataParallel(net)
optimiser = torch.optim.SGD(net.parameters(), lr=1e-6)
data = torch.Generator().manual_seed(100 + rank)
loader = (0.5 * torch.randn(64, 3, 2, 2, generator=data) for _ in range(1400))
"""
AFTER = """
levels = np.geomspace(0.003, 70.0, 50)
found = {"density": noise.density(levels).tolist(), "refreshes": noise.refreshes}
found |= {"pivot": noise.pivot, "mmse": noise.profile().mmse.tolist()}
found |= {"sigma": noise.profile().sigma.tolist()}
with open(f"{folder}/{rank}.json", "w") as stream:
    json.dump(found, stream)
if world > 1:
    torch.distributed.destroy_process_group()
"""


@pytest.mark.parametrize("world", [1, 2])
def test_the_loop_of_the_page_runs_as_it_stands(tmp_path: Path, world: int) -> None:
    """Ranks end with one density; the profile is that of N(0, 1/4) in 12 coordinates.

    The denoiser is the exact one, so a bin's mean of 50 losses or more, each of relative spread
    sqrt(2 / 12), is within 6 standard errors, 35 %: one false alarm in some 10^7 bins.
    """
    text = (ROOT / "docs" / "howto" / "practitioner.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(noise = InfoNoise.*?)```", text, flags=re.DOTALL)
    assert code is not None
    assert code.group(1).count("\n") == 15
    (tmp_path / "loop.py").write_text(BEFORE + code.group(1) + AFTER)
    runs = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / "loop.py"), str(rank), str(world), str(tmp_path)],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""},
            stderr=subprocess.PIPE,
        )
        for rank in range(world)
    ]
    for run in runs:
        errors = run.communicate(timeout=120)[1].decode()
        assert run.returncode == 0, errors
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(world)]
    assert all(other == found[0] for other in found)
    assert found[0]["refreshes"] == 5  # after 1000, 1100, ... 1400 steps
    sigma = np.array(found[0]["sigma"])
    exact = 12 * 0.25 * sigma**2 / (0.25 + sigma**2)
    assert np.abs(np.array(found[0]["mmse"]) / exact - 1.0).max() < 0.35
