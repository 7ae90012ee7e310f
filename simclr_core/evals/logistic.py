"""L2-regularised multinomial logistic regression. N images, F columns, C classes.

The objective, mean cross entropy + l2/2 |W|^2, is strictly convex in the weights, so its minimiser depends on nothing
but the data. On raw features its curvature spans five orders of magnitude, and L-BFGS needs hundreds of steps. At
W = 0 the curvature along a principal direction of the inputs is variance / C + l2: the columns are rotated into these
directions once, and each is scaled by the root of that, which leaves L-BFGS a problem of curvature near 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

TOLERANCE = 1e-4
"""Of the largest component of the gradient, in the scaled directions. float32 products resolve no less."""
MAX_STEPS = 1000


@dataclass(frozen=True, eq=False)
class Principal:
    """Inputs (N, F) of mean 0 in their R principal directions, R the smaller of N and F.

    ``columns`` (N, R + 1) float32, the last one 1 for the intercept; ``variances`` (R + 1,) float64, of each column
    about 0; ``directions`` (F, R).
    """

    columns: Tensor
    variances: Tensor
    directions: Tensor

    @classmethod
    def of(cls, inputs: Tensor) -> Principal:
        """Of float32 inputs (N, F)."""
        left, lengths, directions = torch.linalg.svd(inputs, full_matrices=False)
        columns = torch.cat([left * lengths, torch.ones(len(inputs), 1)], dim=1)
        variances = torch.cat([lengths.double().square() / len(inputs), torch.ones(1, dtype=torch.float64)])
        return cls(columns, variances, directions.T)

    def layer(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (C, F) and intercepts (C,) of the inputs, from weights (C, R + 1) of the columns."""
        return weights[:, :-1] @ self.directions.T.double(), weights[:, -1]


def minimiser(columns: Tensor, variances: Tensor, labels: Tensor, l2: float, start: Tensor) -> Tensor:
    """Weights (C, R + 1), float64, that minimise the objective on ``columns`` (n, R + 1), from ``start`` on.

    ``labels`` (n,) are class numbers below C; the intercepts, the last column's weights, are not regularised.
    """
    penalties = torch.full_like(variances, l2)
    penalties[-1] = 0
    scales = (variances / len(start) + penalties).rsqrt()
    scaled_penalties = penalties * scales.square()
    rows = torch.arange(len(labels))

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scaled = torch.from_numpy(flat).view_as(start)
        # Classes come first in every product: the other way round they take five times as long.
        log_probabilities = ((scales * scaled).float() @ columns.T).log_softmax(0)
        value = scaled_penalties @ scaled.square().sum(0) / 2 - log_probabilities[labels, rows].mean(
            dtype=torch.float64
        )
        errors = log_probabilities.exp_()
        errors[labels, rows] -= 1
        gradient = scales * (errors @ columns).double() / len(labels) + scaled_penalties * scaled
        return value.item(), gradient.flatten().numpy()

    options = {"gtol": TOLERANCE, "ftol": 0.0, "maxiter": MAX_STEPS}
    found = minimize(objective, (start / scales).flatten().numpy(), jac=True, method="L-BFGS-B", options=options)
    return scales * torch.from_numpy(found.x).view_as(start)
