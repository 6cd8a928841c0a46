import pytest
import torch
from torch import nn

from contracts import check_encoder
from tonggan.encoders.table import TableEncoderConfig
from tonggan.modalities import CategoryConfig, DateConfig, NumberConfig, TableConfig, TableRow
from tonggan.tokens import Arrays

ROWS = [
    {"age": 30, "city": "Oslo", "income": 5.0, "pet": "cat"},
    {"age": 40, "city": "Bergen", "income": None, "pet": "dog"},
    {"age": None, "city": "Oslo", "income": 9.0, "pet": None},
    {"age": 31, "city": "elsewhere", "income": 1.0, "pet": "cat"},
    None,
]


def table(kinds: dict[str, str]) -> TableRow:
    configs = {"number": NumberConfig(), "category": CategoryConfig(min_rows=1)}
    modality = TableConfig(columns={name: configs[kind] for name, kind in kinds.items()}).build()
    modality.fit({name: [row[name] for row in ROWS[:3] if row is not None] for name in kinds})
    return modality


@pytest.mark.parametrize(
    "kinds",
    [
        {"age": "number", "city": "category", "income": "number", "pet": "category"},
        {"age": "number", "income": "number"},
        {"city": "category", "pet": "category"},
    ],
)
@pytest.mark.parametrize("num_layers", [0, 2])
def test_contract(kinds, num_layers):
    modality = table(kinds)
    config = TableEncoderConfig(num_layers=num_layers, num_heads=2)
    check_encoder(config, lambda config: config.build(modality, dim=8), modality.collate(ROWS), dim=8)


def test_feature_tokenizer_by_hand():
    modality = table({"city": "category", "age": "number", "pet": "category"})
    encoder = TableEncoderConfig(num_layers=0).build(modality, dim=8).eval()
    arrays = Arrays(torch.tensor([[2.0, -1.5, 1.0]]), torch.tensor([[True, True, True]]))
    # "city" has Oslo, Bergen and other: three vectors, after which those of "pet" begin.
    expected = torch.stack(
        [
            encoder.embedding.weight[2] + encoder.biases[0],
            -1.5 * encoder.weights[0] + encoder.biases[1],
            encoder.embedding.weight[3 + 1] + encoder.biases[2],
        ]
    )
    torch.testing.assert_close(encoder(arrays).values[0], nn.functional.layer_norm(expected, (8,)))


def dates():
    modality = TableConfig(columns={"from": DateConfig(), "to": DateConfig(), "age": NumberConfig()}).build()
    days = [f"2024-03-{day:02d} {day % 7:02d}:00" for day in range(1, 29)]
    modality.fit({"from": days, "to": [f"2024-04-{day:02d}" for day in range(1, 29)], "age": range(28)})
    return modality


def test_contract_with_dates():
    modality = dates()
    rows = [{"from": "2024-03-05", "to": "2024-03-09", "age": 3}, {"to": "2024-03-09"}, {"age": 1}, None]
    check_encoder(
        TableEncoderConfig(num_heads=2), lambda config: config.build(modality, dim=8), modality.collate(rows), dim=8
    )


def test_a_date_is_one_token_and_so_is_the_time_between_two():
    modality = dates()
    encoder = TableEncoderConfig(num_layers=0).build(modality, dim=8).eval()
    arrays = modality.collate([{"from": "2024-03-05", "to": "2024-03-09"}, {"from": "2024-03-05", "age": 3}])
    tokens = encoder(arrays)
    assert tokens.mask.tolist() == [[True, True, False, True], [True, False, True, False]]
    own = modality.positions[0][:-1]
    expected = (arrays.values[0, own, None] * encoder.weights[own]).sum(dim=0) + encoder.biases[0]
    torch.testing.assert_close(tokens.values[0, 0], nn.functional.layer_norm(expected, (8,)))


def test_missing_cells_are_absent():
    modality = table({"age": "number", "city": "category"})
    tokens = TableEncoderConfig().build(modality, dim=8)(modality.collate(ROWS))
    assert tokens.mask.tolist() == [[True, True], [True, True], [False, True], [True, True], [False, False]]
