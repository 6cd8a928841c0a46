import torch
from torch import nn

from tonggan.layers.batch_norm import BatchNorm

RAGGED = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]]).bool()


def test_without_mask_equals_torch():
    torch.manual_seed(0)
    norm, reference = BatchNorm(2), nn.BatchNorm2d(2)
    values = torch.randn(3, 2, 4, 5)
    torch.testing.assert_close(norm(values), reference(values))
    torch.testing.assert_close(norm.running_var, reference.running_var)
    torch.testing.assert_close(norm.eval()(values), reference.eval()(values))


def test_only_real_steps_count():
    torch.manual_seed(0)
    norm = BatchNorm(2, momentum=1.0)
    values = torch.randn(3, 2, 4, 5)
    output = norm(values, RAGGED)
    real = torch.stack([values[row, :, step] for row, step in RAGGED.nonzero().tolist()])  # [8, 2, 5]
    mean, variance = real.mean(dim=(0, 2)), real.var(dim=(0, 2), unbiased=False)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, real.var(dim=(0, 2)))
    expected = (values - mean[:, None, None]) / (variance[:, None, None] + norm.eps).sqrt()
    hidden = ~RAGGED[:, None, :, None]
    torch.testing.assert_close(output, expected.masked_fill(hidden, 0), rtol=1e-4, atol=1e-5)
    assert norm.eval()(values, RAGGED).masked_select(hidden).abs().max() == 0


def test_one_row_or_none_keeps_the_statistics():
    norm = BatchNorm(2)
    before = norm.running_mean.clone()
    single = torch.randn(1, 2, 1, 1)
    torch.testing.assert_close(norm(single), single / (1 + norm.eps) ** 0.5)
    assert norm(torch.zeros(0, 2, 3, 3)).shape == (0, 2, 3, 3)
    norm(torch.randn(1, 2, 4, 4), RAGGED[:1])
    assert torch.equal(norm.running_mean, before)


def test_real_steps_equal_torch_on_them_alone():
    torch.manual_seed(0)
    norm, reference = BatchNorm(2), nn.BatchNorm1d(2)
    for each in (norm, reference):
        nn.init.constant_(each.weight, 1.5)
        nn.init.constant_(each.bias, 0.3)
    values = torch.randn(3, 2, 4, 5, requires_grad=True)
    alike = values.detach().clone().requires_grad_()
    real = torch.stack([alike[row, :, step] for row, step in RAGGED.nonzero().tolist()])
    wanted = reference(real)
    found = norm(values, RAGGED)
    own = torch.stack([found[row, :, step] for row, step in RAGGED.nonzero().tolist()])
    torch.testing.assert_close(own, wanted)
    for each in (own, wanted):
        (each**3).sum().backward()
    torch.testing.assert_close(values.grad, alike.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.weight.grad, reference.weight.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.bias.grad, reference.bias.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, reference.running_var)


def test_gradients_of_real_steps_only():
    torch.manual_seed(0)
    norm = BatchNorm(2)
    values = torch.randn(3, 2, 4, 5, requires_grad=True)
    (norm(values, RAGGED) ** 3).sum().backward()
    assert (values.grad.abs().sum(dim=(1, 3)) > 0).equal(RAGGED)
