import pytest
import torch
from hypothesis import settings

# Examples are timed by the suite as a whole: a busy machine is not a failure.
settings.register_profile("ohgw", deadline=None)
settings.load_profile("ohgw")


@pytest.fixture(autouse=True)
def one_thread():
    """Tests are small: threads would cost more than they save, and change rounding."""
    torch.set_num_threads(1)
