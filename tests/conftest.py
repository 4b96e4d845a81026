"""Fixtures of the black-box tests; the helpers behind them are tests/lib/offsite.py."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))

import offsite  # noqa: E402  (its folder is known only now)


@pytest.fixture
def site(tmp_path):
    """One running site."""
    one = offsite.Site(tmp_path / "site")
    try:
        yield one.start()
    finally:
        one.close()


@pytest.fixture(scope="module")
def site_of_module(tmp_path_factory):
    """One running site, for tests that leave it as it was."""
    one = offsite.Site(tmp_path_factory.mktemp("module") / "site")
    try:
        yield one.start()
    finally:
        one.close()


@pytest.fixture
def two_sites(tmp_path):
    """Two running sites that are linked: north, south."""
    sites = offsite.make_two_sites(tmp_path)
    try:
        for one in sites:
            one.start()
        offsite.wait_linked(*sites)
        yield sites
    finally:
        errors = []
        for one in sites:
            try:
                one.close()
            except AssertionError as error:
                errors.append(error)
        if errors:
            raise errors[0]
