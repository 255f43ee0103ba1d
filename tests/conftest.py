"""Settings that every test shares."""

from __future__ import annotations

import torch
from hypothesis import settings

settings.register_profile("bnbench", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("bnbench")
torch.set_num_threads(1)  # tests run beside each other
