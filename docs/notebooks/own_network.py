"""A network of your own as an arm, in cells."""

# %% [markdown]
# # My own network as an arm
#
# This page is a script in cells, `docs/notebooks/own_network.py`.
# An arm is a kind of network that a sweep compares with others. A function that takes the shape of an image and the
# number of classes, and returns a module, is enough; the file has to be importable, so that worker processes find it.
# `start_as_plain` draws its weights as large as plain's, which torch alone does not.

# %%
from pathlib import Path

import bnbench

Path("my_networks.py").write_text(
    """
import bnbench
from torch import nn


def group_norm(image_shape, classes):
    channels = image_shape[0]
    network = nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, classes),
    )
    return bnbench.start_as_plain(network, "smoke")
"""
)

# %% [markdown]
# Both arms are bent to the same mask, from the same order of images. A fit this short only shows that it works.

# %%
sweep = bnbench.run(
    "smoke",
    arms=["plain", "my_networks:group_norm"],
    probs=0.5,
    seeds=1,
    steps=30,
    mask_size=5,
    folder="own-network",
    backend="inline",
    chunk=16,
    progress=False,
)
print(sweep.fits["arm"].tolist())

# %% [markdown]
# A single fit shows its mask, its loss and its accuracy in a notebook.

# %%
sweep.fit("my_networks:group_norm", 0.5, 1)
