import pytest
import torch

from generation_scene import engine
from tonggan.language.prompt import Prompt


def test_parts_in_their_order():
    picture = torch.ones(2, engine().dim)
    prompt = Prompt((torch.tensor([5, 6]), picture, torch.tensor([7])))
    assert prompt.length == 5
    assert prompt.ids == [5, 6, -1, -1, 7]
    values = prompt.embed(engine())
    assert values.shape == (5, engine().dim)
    torch.testing.assert_close(values[2:4], picture)
    torch.testing.assert_close(values[[0, 1, 4]], engine().embed(torch.tensor([5, 6, 7])))


def test_a_prompt_without_text():
    picture = torch.ones(2, engine().dim)
    assert Prompt((picture,)).embed(engine()) is not None
    assert Prompt((picture,)).ids == [-1, -1]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_embeddings_take_the_format_of_the_engine(dtype):
    prompt = Prompt((torch.ones(2, engine().dim, dtype=dtype), torch.tensor([7])))
    assert prompt.embed(engine()).dtype == torch.float32
