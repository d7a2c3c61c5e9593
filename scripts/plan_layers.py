"""The third network of `check_plan.py`; a file of its own, as runs keep to their file's text."""

from torch import Tensor, nn


class ThreeLayers(nn.Module):
    """Means of 2 x 2 pixels, 196 - 64 - 32 - 10 with ReLU; scores."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AvgPool2d(2), nn.Flatten(), nn.Linear(196, 64), nn.ReLU(),
            nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """Scores of (batch, 1, 28, 28) images."""
        scores: Tensor = self.layers(images)
        return scores
