"""A review as one self-contained HTML page in English and Chinese, in the frame of the reports of runs."""

from __future__ import annotations

from tonggan.codelm.review.reviewing import Review
from tonggan.evaluation.report import page
from tonggan.wording import catalog


def to_html(review: Review) -> str:
    """The page as text."""
    return page("review.html", content=review, in_chinese=catalog().translate)
