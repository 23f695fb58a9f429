"""Built-in networks that predict with folded norms say what they say without."""

from __future__ import annotations

import pytest
import torch

from cellscope.assays.histo import assay as histo
from cellscope.assays.karyotype import assay as karyotype
from cellscope.models.file import load_model
from cellscope.models.registry import locate


@pytest.mark.parametrize(
    ("assay", "module", "part", "shape"),
    [("histo", histo, "nuclei", (1, 3, 192, 192)), ("karyotype", karyotype, "classify", (3, 1, 128, 64))],
)
def test_folding_changes_no_answer(monkeypatch: pytest.MonkeyPatch, assay, module, part, shape) -> None:
    card, tensors = load_model(locate(f"{assay}-{part}"), assay=assay, part=part)
    folded = module.build(card, tensors)
    counts = []
    monkeypatch.setattr(module, "fold_norms", counts.append)
    plain = module.build(card, tensors)
    assert counts == [plain]
    norms = [sum(isinstance(one, torch.nn.BatchNorm2d) for one in network.modules()) for network in (folded, plain)]
    assert norms[0] < norms[1] / 2
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours, theirs = (network(images) for network in (folded, plain))
    ours, theirs = (answer if torch.is_tensor(answer) else answer[0] for answer in (ours, theirs))
    assert ours.abs().max() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)
