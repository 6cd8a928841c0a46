import torch

from contracts import check_alignment
from tonggan.alignment import PairShape
from tonggan.alignment.graph import GraphConfig

SHAPE = PairShape(2)


def test_contract():
    check_alignment(GraphConfig())


def test_graph_mixes_each_vector_with_its_nearest():
    convolved = GraphConfig(neighbors=1, share=0.25).build(SHAPE).convolved(torch.eye(3)[[0, 0, 2]] + 0.0)
    torch.testing.assert_close(convolved[0], torch.tensor([1.0, 0.0, 0.0]))  # its nearest is the same
    assert convolved[2].tolist() == [0.25, 0.0, 0.75]
    alone = GraphConfig().build(SHAPE).convolved(torch.tensor([[3.0, 4.0]]))
    torch.testing.assert_close(alone, torch.tensor([[0.6, 0.8]]))
