"""What holds for all tests."""

import hypothesis

# A deadline by the clock fails on a busy machine for no fault of the code.
hypothesis.settings.register_profile("vectorline", deadline=None)
hypothesis.settings.load_profile("vectorline")
