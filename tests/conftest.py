"""What holds for all tests."""

import gc

import hypothesis

# A deadline by the clock fails on a busy machine for no fault of the code.
hypothesis.settings.register_profile("vectorline", deadline=None)
hypothesis.settings.load_profile("vectorline")


def pytest_collection_finish() -> None:
    """What was collected stays: to look for garbage among half a million objects takes a busy machine a second."""
    gc.collect()
    gc.freeze()
