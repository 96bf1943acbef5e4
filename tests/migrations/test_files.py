"""The files themselves: each has a number of its own."""

from migrations.runner import migrations


def test_the_numbers_rise_by_one():
    assert [migration.version for migration in migrations()] == list(range(1, len(migrations()) + 1))
