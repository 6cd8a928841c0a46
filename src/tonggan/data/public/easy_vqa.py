"""easy-VQA (Zhou 2019): questions about 64x64 pictures of one colored shape, carried by the package ``easy-vqa``.

The official split is kept; ``valid`` is not cut here, because a recipe says how (by picture).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tonggan.data.public.writing import write_csv
from tonggan.errors import MissingExtraError
from tonggan.progress import Progress

COLUMNS = ("image", "question", "answer")


def prepare(files: Mapping[str, Path], folder: Path, progress: Progress) -> dict[str, Path]:  # noqa: ARG001
    """``train.csv`` and ``test.csv`` with the columns image (an absolute path), question, answer."""
    return {
        split: write_csv(folder / f"{split}.csv", rows, columns=COLUMNS) for split, rows in read_questions().items()
    }


def read_questions() -> dict[str, list[dict[str, str]]]:
    """The official train and test questions, with the absolute paths of their pictures.

    Raises:
        MissingExtraError: the package is not installed.
    """
    try:
        import easy_vqa
    except ImportError as error:
        raise MissingExtraError.of("easy-vqa", extra="starter", purpose="pictures of easy-VQA") from error
    parts = {
        "train": (easy_vqa.get_train_questions(), easy_vqa.get_train_image_paths()),
        "test": (easy_vqa.get_test_questions(), easy_vqa.get_test_image_paths()),
    }
    return {
        split: [
            {"image": paths[picture], "question": question, "answer": answer}
            for question, answer, picture in zip(*lists, strict=True)
        ]
        for split, (lists, paths) in parts.items()
    }
