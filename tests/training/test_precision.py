"""The format that is chosen, and a model run in it."""

import torch
from torch import nn

from tonggan.training.precision import Autocast, choose_precision

CPU = torch.device("cpu")


def test_auto_is_bf16_only_where_the_cpu_computes_in_it(monkeypatch):
    able: dict[str, bool] = {}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert choose_precision("auto", device=CPU) == "fp32"
    able["avx512_bf16"] = True
    assert choose_precision("auto", device=CPU) == "bf16"
    assert choose_precision("fp32", device=CPU) == "fp32"
    assert choose_precision("auto", device=torch.device("mps")) == "fp32"


def test_autocast_computes_in_half_and_answers_in_float32():
    seen = []
    model = nn.Linear(8, 4)
    model.register_forward_hook(lambda *call: seen.append(call[-1].dtype))
    output = Autocast(model, device=CPU, precision="bf16")(torch.ones(2, 8))
    assert seen == [torch.bfloat16]
    assert output.dtype == torch.float32
    torch.testing.assert_close(output, model(torch.ones(2, 8)), rtol=0.02, atol=0.02)
