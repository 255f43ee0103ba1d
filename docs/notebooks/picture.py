"""A picture in a loss landscape, in cells."""

# %% [markdown]
# # A picture in a landscape
#
# This page is a script in cells, `docs/notebooks/picture.py`.
# Bend the loss landscape of a small network to the letter T, and look at it. The cells run as they stand, in under a
# minute.

# %%
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import bnbench

letter = np.full((8, 8), 255, dtype=np.uint8)  # white paper
letter[1:3, 1:7] = letter[3:7, 3:5] = 0  # black ink
Image.fromarray(letter).save("letter-t.png")

# %% [markdown]
# `bnbench.bend` takes a picture's file. Networks at its black pixels learn to classify scikit-learn's digits, and those
# at its white pixels learn not to. In a notebook the result shows itself.

# %%
bent = bnbench.bend("letter-t.png", steps=300, animate=False, folder="bent-t")
print(bent.accuracy.round(2).to_string(index=False))

# %% [markdown]
# Every pixel is a row of a table, which `bnbench.plot.landscape` draws.

# %%
pixels = bent.landscape.assign(p=0.5, seed=1)
panels = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")[1]
bnbench.plot.landscape(pixels, panels[0], value="black")
bnbench.plot.landscape(pixels, panels[1], value="test_accuracy")
panels[0].figure.savefig("landscape.svg")

# %% [markdown]
# ![The letter T, and the accuracies of the networks at its pixels](../figures/cells/landscape.svg)
