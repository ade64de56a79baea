import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Tests are small: threads would cost more than they save, and change rounding."""
    torch.set_num_threads(1)
