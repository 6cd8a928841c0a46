import torch
from torch import nn

from tonggan.layers.transformer import Transformer, TransformerBlock, TransformerConfig


def as_reference(block: TransformerBlock) -> nn.TransformerEncoderLayer:
    reference = nn.TransformerEncoderLayer(
        16, 4, dim_feedforward=32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    reference.self_attn.in_proj_weight.data.copy_(block.attention.in_projection.weight)
    reference.self_attn.in_proj_bias.data.copy_(block.attention.in_projection.bias)
    reference.self_attn.out_proj.load_state_dict(block.attention.out_projection.state_dict())
    reference.norm1.load_state_dict(block.attention_norm.state_dict())
    reference.norm2.load_state_dict(block.mlp_norm.state_dict())
    reference.linear1.load_state_dict(block.mlp[0].state_dict())
    reference.linear2.load_state_dict(block.mlp[3].state_dict())
    return reference


def test_stack_equals_torch():
    torch.manual_seed(0)
    stack = Transformer(16, config=TransformerConfig(num_layers=2, num_heads=4, mlp_ratio=2, dropout=0.0))
    values = torch.randn(3, 5, 16)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 1, 0, 1]]).bool()
    expected = values
    for block in stack.blocks:
        nn.init.normal_(block.attention_norm.weight)
        nn.init.normal_(block.mlp_norm.bias)
        expected = as_reference(block)(expected, src_key_padding_mask=~mask)
    torch.testing.assert_close(stack(values, mask)[mask], stack.norm(expected)[mask], rtol=1e-5, atol=1e-5)


def test_dropout_only_in_training():
    torch.manual_seed(0)
    block = TransformerBlock(8, num_heads=2, hidden=16, dropout=0.5)
    values, mask = torch.randn(1, 4, 8), torch.ones(1, 4, dtype=torch.bool)
    assert not torch.equal(block(values, mask), block(values, mask))
    block.eval()
    assert torch.equal(block(values, mask), block(values, mask))
