"""Checkpoints are whole or not there, and give back what went in."""

import resource

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tonggan.errors import TrainingError
from tonggan.models.state import learned_state, load_learned_state
from tonggan.training import TrainingConfig
from tonggan.training.checkpoint import load_checkpoint, load_optimizer_tensors, optimizer_tensors, save_checkpoint
from tonggan.training.optimizer import build_optimizer


class Tied(nn.Module):
    """Two names for one weight, a buffer, and a filter."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.output = nn.Linear(4, 5)
        self.output.weight = self.embedding.weight
        self.filter = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm1d(5)

    def forward(self, ids):
        pictures = torch.ones(len(ids), 3, 3, 3)
        return self.norm(self.output(self.embedding(ids) + self.filter(pictures).flatten(1)))


def stepped():
    model = Tied().to(memory_format=torch.channels_last)
    optimizer = build_optimizer(model, TrainingConfig())
    model(torch.tensor([1, 2, 3])).pow(2).sum().backward()
    optimizer.step()
    return model, optimizer


def test_round_trip_of_a_model_with_shared_weights_and_its_optimizer(tmp_path):
    torch.manual_seed(0)
    model, optimizer = stepped()
    path = tmp_path / "folder" / "last.safetensors"
    tensors = learned_state(model) | optimizer_tensors(model, optimizer)
    save_checkpoint(path, tensors=tensors, state={"step": 1, "loss": 0.1})
    loaded, state = load_checkpoint(path)
    assert state == {"step": 1, "loss": 0.1}
    other, other_optimizer = stepped()
    load_learned_state(other, loaded)
    load_optimizer_tensors(other, other_optimizer, loaded)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        for key, value in optimizer.state[one].items():
            assert torch.equal(value, other_optimizer.state[two][key])
            assert value.stride() == other_optimizer.state[two][key].stride()


def test_full_disk_leaves_the_older_checkpoint(tmp_path):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, tensors={"a": torch.ones(2)}, state={"step": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(TrainingError, match=r"Free space .* run the same command to resume"):
            save_checkpoint(path, tensors={"a": torch.zeros(10_000)}, state={"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    tensors, state = load_checkpoint(path)
    assert state == {"step": 1}
    assert torch.equal(tensors["a"], torch.ones(2))
    assert [file.name for file in tmp_path.iterdir()] == ["last.safetensors"]


@pytest.mark.parametrize("content", [None, b"", b"half a file", b"\x10\x00\x00\x00\x00\x00\x00\x00"])
def test_missing_or_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "last.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"last.safetensors.*Delete the folder"):
        load_checkpoint(path)


@pytest.mark.parametrize("state", ["[" * 100_000, "[1]", "5", "{", "null"])
def test_a_damaged_state_is_named(tmp_path, state):
    path = tmp_path / "last.safetensors"
    save_file({"a": torch.ones(2)}, path, {"state": state})
    with pytest.raises(TrainingError, match=r"last.safetensors.*Delete the folder"):
        load_checkpoint(path)
