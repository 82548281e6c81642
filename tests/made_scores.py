"""Score matrices for property tests."""

import torch
from hypothesis import strategies as st


@st.composite
def scores_with_ties(draw):
    """A matrix of a few small whole numbers, so that ties are common, and each caption's video."""
    num_captions, num_videos = draw(st.integers(1, 8)), draw(st.integers(1, 6))
    values = draw(
        st.lists(
            st.lists(st.integers(0, 3), min_size=num_videos, max_size=num_videos),
            min_size=num_captions,
            max_size=num_captions,
        )
    )
    owners = draw(
        st.lists(st.integers(0, num_videos - 1), min_size=num_captions, max_size=num_captions)
    )
    return torch.tensor(values, dtype=torch.float64), torch.tensor(owners)
