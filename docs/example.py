"""A landscape bent to a letter, in cells: run it whole (python docs/example.py), or cell by cell in an editor."""

# %% [markdown]
# # A letter in a minute
#
# This page is a script in cells, `docs/example.py`: run it whole with Python, or cell by cell in an editor that knows
# `# %%` (VS Code, PyCharm, Spyder, Jupyter with jupytext). It bends the landscape of a small network of your own to a
# letter, needs nothing that the package does not bring along, and leaves `letter.png` and `ball.png`. The tests run it
# as it stands.

# %% [markdown]
# ## Images and a picture
#
# Scikit-learn's 8×8 digits, standardized, and a picture: black where the network should classify well, white where it
# should not. Any array of booleans will do; `bnbench.draw_mask` draws random ones, `bnbench.picture_to_mask` takes grey
# pictures.

# %%
import matplotlib.pyplot as plt
import numpy as np
import seaborn
import torch
from torch import nn

import bnbench

smoke = bnbench.PROFILES["smoke"]
data = bnbench.load_data(smoke.data, smoke.measurement)
letter = [
    "......",
    ".###..",
    ".#..#.",
    ".###..",
    ".#..#.",
    ".#..#.",
    ".###..",
    "......",
]
mask = np.array([[pixel == "#" for pixel in row] for row in letter])
print(f"{len(data.train)} training images {data.image_shape}")
print(f"{len(data.measured)} test images, mask {mask.shape}")

# %% [markdown]
# ```text
# 1097 training images (1, 8, 8)
# 500 test images, mask (8, 6)
# ```
#
# ## A plane through three fresh networks
#
# Any module will do, too. Its plane has an origin, two directions and a scale: 3n + 1 numbers, whatever the size of the
# picture.


# %%
def network() -> nn.Module:
    hidden = nn.Linear(64, 32)
    return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), nn.Linear(32, 10))


plane = bnbench.Plane.from_factory(network, torch.Generator().manual_seed(1))
weights = plane.vectors.shape[1]
trained = bnbench.is_trained(mask)
print(f"{weights} weights, a plane of {3 * weights + 1} numbers")
print(f"{trained.sum()} of {mask.size} pixels are trained on")

# %% [markdown]
# ```text
# 2410 weights, a plane of 7231 numbers
# 46 of 48 pixels are trained on
# ```
#
# ## Fit
#
# Each step draws some black and some white pixels, gives each a minibatch of its own, and moves the plane: the loss at
# black pixels goes down, at white ones up, as far as the threshold. What comes back is a trace of the training.

# %%
training = smoke.with_knobs(steps=600).training
trace = bnbench.fit(
    plane,
    torch.from_numpy(mask),
    torch.from_numpy(trained),
    data.train,
    training,
)
for row in trace[4::25]:
    black, white = row.black_accuracy, row.white_accuracy
    print(f"step {row.step}: accuracy {black:.2f} on black, {white:.2f} on white")

# %% [markdown]
# ```text
# step 30: accuracy 0.32 on black, 0.19 on white
# step 180: accuracy 0.93 on black, 0.32 on white
# step 330: accuracy 0.95 on black, 0.34 on white
# step 480: accuracy 0.96 on black, 0.33 on white
# ```
#
# ## Look
#
# Measured on test images, at every pixel, those included that were not trained on. The holes of the letter give way
# least: they are white between black neighbours, and the landscape would have to turn twice within three pixels.

# %%
found = bnbench.measure_landscape(plane, mask.shape, data.measured)
black, white = found.accuracy[mask].mean(), found.accuracy[~mask].mean()
print(f"black {black:.2f}, white {white:.2f}, difference {black - white:.2f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(5, 3.2), layout="constrained")
left.imshow(mask, cmap="gray_r")
left.set_title("mask")
picture = right.imshow(found.accuracy.numpy(), cmap="gray_r", vmin=0, vmax=1)
right.set_title("test accuracy")
figure.colorbar(picture, ax=right)
for axes in (left, right):
    axes.set_xticks([])
    axes.set_yticks([])
figure.savefig("letter.png", dpi=150)

# %% [markdown]
# ```text
# black 0.87, white 0.29, difference 0.58
# ```
#
# ![The mask, a letter B, and the accuracy at every pixel](figures/letter.png)
#
# ## Between the pixels
#
# A pixel is nothing but a point of the plane, and a point is an ordinary network. Take the weights of a row of points,
# put them into a module one after the other, and look: the landscape is defined between the pixels as well.

# %%
# (α, β) of eleven points along a row
walk = torch.stack([torch.linspace(-2.5, 2.5, 11), torch.full((11,), -1.5)], dim=1)
point = network()
images, labels = data.measured.pixels, data.measured.labels
accuracies = []
with torch.no_grad():
    for vector in plane.weights_at(walk):  # (11, n)
        nn.utils.vector_to_parameters(vector, point.parameters())
        is_right = point(images).argmax(1) == labels
        accuracies.append(is_right.float().mean().item())
print(" ".join(f"{accuracy:.2f}" for accuracy in accuracies))
print("     ".join("black" if pixel else "white" for pixel in mask[5]))

# %% [markdown]
# ```text
# 0.22 0.76 0.88 0.59 0.45 0.43 0.46 0.61 0.89 0.40 0.21
# white     black     white     white     black     white
# ```
#
# There is no wall between black and white: the numbers run from one pixel to the next. The same walk with `bn` needs
# one decision more: a point has no running averages, so batch normalization takes the statistics of the images at hand
# (`bn_statistics` of `bnbench.measure_landscape`).
#
# ## A ball in three directions
#
# A plane has two directions because a picture has two axes. Ask for three, give a mask of three axes, and the same
# code bends a space: a pixel at (α, β, γ) lies in column α and row β of a picture, and γ says in which one. Here the
# 80 of 6×6×6 pixels that are nearest to the centre should classify well.

# %%
ball = (np.stack(np.indices((6, 6, 6)) - 2.5) ** 2).sum(0) < 2.6**2
generator = torch.Generator().manual_seed(1)
space = bnbench.Plane.from_factory(network, generator, directions=3)
training = smoke.with_knobs(steps=200, learning_rate=0.01).training
bnbench.fit(
    space,
    torch.from_numpy(ball),
    torch.from_numpy(bnbench.is_trained(ball)),
    data.train,
    training,
)
found = bnbench.measure_landscape(space, ball.shape, data.measured)
inside = found.accuracy.numpy()
for number, (is_ball, accuracy) in enumerate(zip(ball, inside, strict=True)):
    within, outside = accuracy[is_ball].mean(), accuracy[~is_ball].mean()
    blacks = f"{within:.2f} at its {is_ball.sum()} black pixels"
    print(f"slice {number}: {blacks}, {outside:.2f} at the others")

figure, rows = plt.subplots(2, 6, figsize=(6.7, 2.4), layout="constrained")
shown_in_rows = [
    (ball, rows[0], "gray_r", "mask"),
    (inside, rows[1], "rocket_r", "test accuracy"),
]
for slices, row, colours, title in shown_in_rows:
    palette = seaborn.color_palette(colours, as_cmap=True)
    for number, (picture, axes) in enumerate(zip(slices, row, strict=True)):
        shown = axes.imshow(picture, cmap=palette, vmin=0, vmax=1)
        name = f"slice {number}" if slices is ball else ""
        axes.set(xticks=[], yticks=[], title=name)
    row[0].set_ylabel(title)
    figure.colorbar(shown, ax=list(row), ticks=[0, 1])
figure.savefig("ball.png", dpi=150)

# %% [markdown]
# ```text
# slice 0: 0.82 at its 4 black pixels, 0.18 at the others
# slice 1: 0.79 at its 16 black pixels, 0.23 at the others
# slice 2: 0.85 at its 24 black pixels, 0.22 at the others
# slice 3: 0.85 at its 24 black pixels, 0.21 at the others
# slice 4: 0.79 at its 16 black pixels, 0.18 at the others
# slice 5: 0.78 at its 4 black pixels, 0.15 at the others
# ```
#
# ![The six slices of a ball, and the accuracy in each of them](figures/ball.png)
#
# *The six slices of the space: above the ball, below the test accuracy after 200 steps.*
#
# One direction makes a line, and its mask has one axis; four directions take a mask of four. Sweeps and their reports
# know pictures alone.
