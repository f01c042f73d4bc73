"""`linear_probe_lbfgs`: multinomial logistic regression on features extracted once.

With features x standardised by the mean and deviation of those that the probe is fitted on, W `[k, d]` and
b `[k]` minimise

    J(W, b) = 1/n Σ_i −log softmax(W x_i + b)[y_i] + penalty/2 ‖W‖²

which is scikit-learn's logistic regression with C = 1 / (n · penalty). Full-batch L-BFGS with strong Wolfe
conditions, until no component of the gradient exceeds 1e-6, or a hundredth of the penalty where that is less:
J curves by no less than the penalty, so that no W that passes is far from the minimum. At scikit-learn's
default, 1e-4, a weak penalty's W is up to a third of its norm away. All of it is float64: in float32 the line
search cannot tell apart two values of J so near the minimum. (torch's and scipy's L-BFGS need equally many
evaluations of J; torch's stays on the device.) A fit that `max_iterations` ends earlier is named in the
trial's notes.

A probe with each penalty of the grid is fitted on the training images and scored on the validation images;
the best one (the strongest of equally good ones) gives the validation value, which is thus the largest of a
few. With that penalty the probe is fitted once more, on both, and scored once on the test images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ndabench.distributed import Workers
from ndabench.measurement import Measurement
from ndabench.metrics.features import Examples, full_precision
from ndabench.metrics.image_encoders.config import (
    CONVERGENCE,
    LARGEST_GRADIENT,
    LARGEST_SHARE,
    LinearProbeLbfgsConfig,
)
from ndabench.metrics.image_encoders.subject import ImageEncoderSubject
from ndabench.metrics.probing import (
    TESTING,
    VALIDATING,
    Scoring,
    accuracy,
    chosen_setting,
    probe_file,
    probe_measurement,
)
from ndabench.metrics.results import Evaluated, by_name

CONSTANT = 1e-5
"""A feature that varies by less than this share of its mean counts as constant: the rest is rounding."""


@dataclass(frozen=True)
class LinearClassifier:
    """W `[k, d]` and b `[k]` for features standardised by `mean` and `scale`, `[d]` each."""

    weight: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor
    largest_gradient: float
    """The largest component of J's gradient here."""

    def logits(self, features: Tensor) -> Tensor:
        """The scores of the classes for features `[m, d]`, `[m, k]`."""
        return F.linear((features - self.mean) / self.scale, self.weight, self.bias)

    def state(self) -> dict[str, Tensor]:
        """The tensors by name, for a file: logits are ((x - mean) / scale) @ weight.T + bias."""
        return {"weight": self.weight, "bias": self.bias, "mean": self.mean, "scale": self.scale}

    def predict(self, features: Tensor) -> Tensor:
        """The classes of features `[m, d]`, int64 `[m]`."""
        return self.logits(features).argmax(1)


def standardisation(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of features `[n, d]`, `[d]` each; the deviation of constant ones counts as 1."""
    variance, mean = torch.var_mean(features, 0, correction=0)
    deviation = variance.sqrt()
    return mean, torch.where(deviation > CONSTANT * mean.abs(), deviation, 1.0)


def allowed_gradient(penalty: float) -> float:
    """The largest component of the gradient at which a fit with `penalty` counts as the minimum."""
    return min(LARGEST_GRADIENT, LARGEST_SHARE * penalty)


def fit_logistic(
    examples: Examples, *, num_classes: int, penalty: float, max_iterations: int = 10_000
) -> LinearClassifier:
    """The minimum of J for float32 features `[n, d]`, from W = 0 and b = 0.

    `LinearClassifier.largest_gradient` exceeds `allowed_gradient` where `max_iterations` did not suffice.
    """
    mean, scale = standardisation(examples.features)
    inputs = ((examples.features - mean) / scale).double()
    num, dimension = inputs.shape
    # Classes come first in every matrix: with the images along the rows, one product takes ten times as long.
    targets = F.one_hot(examples.labels, num_classes).T.double().contiguous()
    parameters = inputs.new_zeros(num_classes * (dimension + 1))
    weight = parameters[: num_classes * dimension].view(num_classes, dimension)
    bias = parameters[num_classes * dimension :]
    optimiser = torch.optim.LBFGS(
        [parameters],
        max_iter=max_iterations,
        max_eval=10 * max_iterations,
        tolerance_grad=allowed_gradient(penalty),
        tolerance_change=0.0,  # the gradient alone decides
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def loss_with_gradient() -> float:
        log_p = torch.addmm(bias[:, None], weight, inputs.T).log_softmax(0)
        loss = -(log_p * targets).sum() / num
        residuals = log_p.exp_().sub_(targets).div_(num)
        weight_gradient = torch.addmm(weight, residuals, inputs, beta=penalty)
        parameters.grad = torch.cat([weight_gradient.flatten(), residuals.sum(1)])
        return float(loss + penalty / 2 * weight.square().sum())

    optimiser.step(loss_with_gradient)
    loss_with_gradient()  # the line search may have looked elsewhere last
    assert parameters.grad is not None
    return LinearClassifier(weight.float(), bias.float(), mean, scale, float(parameters.grad.abs().max()))


def stopped_early(name: str, penalties: Sequence[float], gradients: Sequence[float]) -> tuple[str, ...]:
    """A note for each fit of the evaluation `name` that ended before the minimum."""
    return tuple(
        f"{name}: the fit with penalty {penalty:g} stopped before the minimum, at a largest gradient of "
        f"{gradient:.1e} instead of {allowed_gradient(penalty):.1e}; raise max_iterations"
        for penalty, gradient in zip(penalties, gradients, strict=True)
        if not gradient <= allowed_gradient(penalty)
    )


def accuracies(
    penalties: Sequence[float],
    fitted: Examples,
    scored: Examples,
    *,
    num_classes: int,
    max_iterations: int,
    workers: Workers,
) -> tuple[list[float], list[float], list[LinearClassifier]]:
    """The accuracy on `scored`, in percent, of the probe fitted on `fitted` with each penalty, and the
    largest gradient where its fit ended, both equal on every worker; and the probes that this worker fitted,
    the main one that of the first penalty.

    The workers share the penalties, not the rows of one fit: so they need not agree on every step of a line
    search.
    """
    found = torch.zeros(2, len(penalties), dtype=torch.float64, device=workers.device)
    probes = []
    for place in range(workers.rank, len(penalties), workers.world_size):
        classifier = fit_logistic(
            fitted, num_classes=num_classes, penalty=penalties[place], max_iterations=max_iterations
        )
        found[0, place] = accuracy(classifier.predict(scored.features), scored.labels)
        found[1, place] = classifier.largest_gradient
        probes.append(classifier)
    percents, gradients = workers.all_reduce_sum(found).tolist()
    return percents, gradients, probes


def measure_linear_probe_lbfgs(
    config: LinearProbeLbfgsConfig, subject: ImageEncoderSubject, *, test: bool
) -> Evaluated:
    """`val_linear_probe_lbfgs`, `linear_probe_lbfgs_penalty`, and with `test` also `linear_probe_lbfgs`,
    with the tested probe in a file. Nothing is random.
    """
    clock = subject.shared.clock
    settings = {
        "standardised": "by the features that the probe was fitted on",
        "penalties": list(config.penalties),
        "penalty": "the best on the validation split, of fits on the training split",
        "max_iterations": config.max_iterations,
        **CONVERGENCE,
    }
    notes: list[str] = []
    files: dict[str, bytes] = {}

    def scores(penalties: Sequence[float], scoring: Scoring) -> list[float]:
        percents, gradients, probes = accuracies(
            penalties,
            subject.examples(*scoring.fitted),
            subject.examples(scoring.scored),
            num_classes=len(subject.data.class_names),
            max_iterations=config.max_iterations,
            workers=subject.workers,
        )
        notes.extend(stopped_early(config.name, penalties, gradients))
        if scoring == TESTING and subject.workers.is_main:
            files.update(probe_file(config.name, probes[0].state(), subject.data.class_names))
        return percents

    def measurement(percent: float, scoring: Scoring, start: float) -> Measurement:
        return probe_measurement(
            config.name, percent, scoring, subject.data, settings, seconds=clock() - start
        )

    with torch.no_grad(), full_precision():
        start = clock()
        best, penalty = max(zip(scores(config.penalties, VALIDATING), config.penalties, strict=True))
        measurements = [
            measurement(best, VALIDATING, start),
            chosen_setting(f"{config.name}_penalty", penalty),
        ]
        if test:
            start = clock()
            [percent] = scores([penalty], TESTING)
            measurements.append(measurement(percent, TESTING, start))
    return Evaluated(by_name(measurements), files, notes=tuple(notes))
