"""Convolutions of many networks as products whose windows are read where they lie, in Triton's language.

The functions here are compiled by :mod:`bnbench.mpo.fused`, which alone imports this module. Names in capitals are
constants of a compilation. Maps are (P, B, H, W, C), weights (P, rows · columns · C, O), all contiguous.
"""

# Triton reads the annotations as they are written, and knows none but its own.

import triton.language as tl


def convolve(
    maps: tl.tensor,
    gate: tl.tensor,
    weights: tl.tensor,
    bias: tl.tensor,
    result: tl.tensor,
    network_step: tl.tensor,
    positions: tl.tensor,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    CHANNELS: tl.constexpr,
    RESULT_HEIGHT: tl.constexpr,
    RESULT_WIDTH: tl.constexpr,
    OUTPUTS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    STRIDE_DOWN: tl.constexpr,
    STRIDE_ALONG: tl.constexpr,
    TOP: tl.constexpr,
    LEFT: tl.constexpr,
    GAP_DOWN: tl.constexpr,
    GAP_ALONG: tl.constexpr,
    SPREAD_DOWN: tl.constexpr,
    SPREAD_ALONG: tl.constexpr,
    HAS_GATE: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    RELU: tl.constexpr,
    SUM: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_POSITIONS: tl.constexpr,
    BLOCK_OUTPUTS: tl.constexpr,
    BLOCK_WINDOW: tl.constexpr,
) -> None:
    """Compute one block of a network's next maps: their windows times the weights, with bias and ReLU.

    Maps count as 0 where the gate, of the same shape, is not positive (HAS_GATE), as ReLU's gradient does. They count
    as if they lay SPREAD_DOWN and SPREAD_ALONG apart, with zeros between, as the upstream gradient of a convolution
    with a stride does. ``network_step`` numbers lie between one network's maps and the next one's, 0 where all
    share them; ``positions`` is B · H' · W' of the result, (P, B, H', W', O). Products are added up as SUM.
    """
    network = tl.program_id(2).to(tl.int64)
    position = tl.program_id(0) * BLOCK_POSITIONS + tl.arange(0, BLOCK_POSITIONS)
    output = tl.program_id(1) * BLOCK_OUTPUTS + tl.arange(0, BLOCK_OUTPUTS)
    along = position % RESULT_WIDTH
    down = (position // RESULT_WIDTH) % RESULT_HEIGHT
    image = position // (RESULT_WIDTH * RESULT_HEIGHT)
    window: tl.constexpr = ROWS * COLUMNS * CHANNELS
    total = tl.full((BLOCK_POSITIONS, BLOCK_OUTPUTS), 0.0, SUM)
    for start in range(0, window, BLOCK_WINDOW):
        place = start + tl.arange(0, BLOCK_WINDOW)
        channel = place % CHANNELS
        tap = place // CHANNELS
        row = (down * STRIDE_DOWN - TOP)[:, None] + ((tap // COLUMNS) * GAP_DOWN)[None, :]
        column = (along * STRIDE_ALONG - LEFT)[:, None] + ((tap % COLUMNS) * GAP_ALONG)[None, :]
        inside = (position < positions)[:, None] & (place < window)[None, :] & (row >= 0) & (column >= 0)
        if SPREAD_DOWN > 1:
            inside = inside & (row % SPREAD_DOWN == 0)
            row = row // SPREAD_DOWN
        if SPREAD_ALONG > 1:
            inside = inside & (column % SPREAD_ALONG == 0)
            column = column // SPREAD_ALONG
        inside = inside & (row < HEIGHT) & (column < WIDTH)
        at = network * network_step + ((image[:, None] * HEIGHT + row) * WIDTH + column) * CHANNELS + channel[None, :]
        seen = tl.load(maps + at, mask=inside, other=0.0)
        if HAS_GATE:
            open_at = tl.load(gate + at, mask=inside, other=0.0)
            seen = tl.where(open_at <= 0, 0.0, seen)  # not-a-number passes, as through torch's ReLU
        own = place[:, None] * OUTPUTS + output[None, :]
        is_weight = (place < window)[:, None] & (output < OUTPUTS)[None, :]
        weight = tl.load(weights + network * (window * OUTPUTS) + own, mask=is_weight, other=0.0)
        total += tl.dot(seen, weight, input_precision=PRECISION, out_dtype=SUM)
    if HAS_BIAS:
        total += tl.load(bias + network * OUTPUTS + output, mask=output < OUTPUTS, other=0.0)[None, :]
    if RELU:
        total = tl.where(total < 0, 0.0, total)
    at = (network * positions + position[:, None]) * OUTPUTS + output[None, :]
    tl.store(result + at, total, mask=(position < positions)[:, None] & (output < OUTPUTS)[None, :])


def weigh(
    maps: tl.tensor,
    gate: tl.tensor,
    upstream: tl.tensor,
    of_weights: tl.tensor,
    of_bias: tl.tensor,
    network_step: tl.tensor,
    positions: tl.tensor,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    CHANNELS: tl.constexpr,
    RESULT_HEIGHT: tl.constexpr,
    RESULT_WIDTH: tl.constexpr,
    OUTPUTS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    STRIDE_DOWN: tl.constexpr,
    STRIDE_ALONG: tl.constexpr,
    TOP: tl.constexpr,
    LEFT: tl.constexpr,
    GAP_DOWN: tl.constexpr,
    GAP_ALONG: tl.constexpr,
    HAS_GATE: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    SUM: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_POSITIONS: tl.constexpr,
    BLOCK_OUTPUTS: tl.constexpr,
    BLOCK_WINDOW: tl.constexpr,
) -> None:
    """Compute one block of the weights' gradient, the windows transposed times the upstream gradient; and the bias's.

    The upstream gradient, (P, B, H', W', O), counts as 0 where the gate is not positive (HAS_GATE): the gate is the
    convolution's result after ReLU. The rest is as in :func:`convolve`.
    """
    network = tl.program_id(2).to(tl.int64)
    place = tl.program_id(0) * BLOCK_WINDOW + tl.arange(0, BLOCK_WINDOW)
    output = tl.program_id(1) * BLOCK_OUTPUTS + tl.arange(0, BLOCK_OUTPUTS)
    window: tl.constexpr = ROWS * COLUMNS * CHANNELS
    channel = place % CHANNELS
    tap = place // CHANNELS
    total = tl.full((BLOCK_WINDOW, BLOCK_OUTPUTS), 0.0, SUM)
    line = tl.full((BLOCK_OUTPUTS,), 0.0, SUM)
    for start in range(0, positions, BLOCK_POSITIONS):
        position = start + tl.arange(0, BLOCK_POSITIONS)
        along = position % RESULT_WIDTH
        down = (position // RESULT_WIDTH) % RESULT_HEIGHT
        image = position // (RESULT_WIDTH * RESULT_HEIGHT)
        row = (down * STRIDE_DOWN - TOP)[None, :] + ((tap // COLUMNS) * GAP_DOWN)[:, None]
        column = (along * STRIDE_ALONG - LEFT)[None, :] + ((tap % COLUMNS) * GAP_ALONG)[:, None]
        inside = (position < positions)[None, :] & (place < window)[:, None] & (row >= 0) & (column >= 0)
        inside = inside & (row < HEIGHT) & (column < WIDTH)
        at = network * network_step + ((image[None, :] * HEIGHT + row) * WIDTH + column) * CHANNELS + channel[:, None]
        seen = tl.load(maps + at, mask=inside, other=0.0)
        at = (network * positions + position[:, None]) * OUTPUTS + output[None, :]
        is_there = (position < positions)[:, None] & (output < OUTPUTS)[None, :]
        given = tl.load(upstream + at, mask=is_there, other=0.0)
        if HAS_GATE:
            open_at = tl.load(gate + at, mask=is_there, other=0.0)
            given = tl.where(open_at <= 0, 0.0, given)
        total += tl.dot(seen, given, input_precision=PRECISION, out_dtype=SUM)
        if HAS_BIAS:
            line += tl.sum(given.to(SUM), axis=0)
    at = (network * window + place[:, None]) * OUTPUTS + output[None, :]
    tl.store(of_weights + at, total, mask=(place < window)[:, None] & (output < OUTPUTS)[None, :])
    if HAS_BIAS:
        own_end = OUTPUTS * (1 - tl.program_id(0))  # blocks along the window have the same line: the first stores it
        tl.store(of_bias + network * OUTPUTS + output, line, mask=output < own_end)
