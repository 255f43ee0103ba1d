"""Figure 4 drawn your way, in cells."""

# %% [markdown]
# # Figure 4, my way
#
# This page is a script in cells, `docs/notebooks/figure4.py`; in a notebook each figure shows itself below its cell.
# `bnbench.plot` draws what the report draws, from plain tables into axes of yours. Here a small sweep is run first; any
# results folder will do. Its fits take 20 steps, so that the cells run within a minute; after so few their landscapes
# show little of their masks. With `steps=300`, as in the profile `smoke`, they show more.

# %%
import matplotlib.pyplot as plt

import bnbench

sweep = bnbench.run(
    "smoke",
    probs=[0.3, 0.5, 0.7],
    seeds=3,
    steps=20,
    mask_size=5,
    folder="my-figure",
    backend="inline",
    chunk=16,
    progress=False,
)

# %% [markdown]
# The left panel is figure 4a: mean and deviation over seeds. The right one is the difference of the two arms on each
# mask, with a 95 % interval at every p.

# %%
left, right = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")[1]
bnbench.plot.figure4(sweep.fits, left)
bnbench.plot.paired(sweep.fits, right)
left.set_title("after 20 steps")
left.figure.savefig("my-figure4.svg")

# %% [markdown]
# ![Difference against fill probability, and the gaps of pairs, after 20 steps](../figures/cells/my-figure4.svg)
#
# Figure 3 takes the pixels of one mask.

# %%
grid = bnbench.plot.figure3(sweep.landscapes.query("p == 0.5 and seed == 2"))
grid[0, 0].figure.savefig("my-figure3.svg")

# %% [markdown]
# ![A mask, and both arms' loss and accuracy over it, after 20 steps](../figures/cells/my-figure3.svg)
