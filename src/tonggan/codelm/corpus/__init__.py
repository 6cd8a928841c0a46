"""A corpus of source code: made from repositories by ``build_corpus``, read by ``Corpus``."""

from tonggan.codelm.corpus.build import build_corpus
from tonggan.codelm.corpus.corpus import Corpus
from tonggan.codelm.corpus.decontaminate import installed_benchmarks
from tonggan.codelm.corpus.report import CorpusReport
from tonggan.codelm.corpus.shards import Document

__all__ = ["Corpus", "CorpusReport", "Document", "build_corpus", "installed_benchmarks"]
