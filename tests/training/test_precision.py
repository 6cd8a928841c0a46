"""The format that is chosen."""

import torch

from tonggan.training.precision import choose_precision

CPU = torch.device("cpu")


def test_auto_is_bf16_only_where_the_cpu_computes_in_it(monkeypatch):
    able: dict[str, bool] = {}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert choose_precision("auto", device=CPU) == "fp32"
    able["avx512_bf16"] = True
    assert choose_precision("auto", device=CPU) == "bf16"
    assert choose_precision("fp32", device=CPU) == "fp32"
    assert choose_precision("auto", device=torch.device("mps")) == "fp32"
