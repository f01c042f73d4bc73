"""Measures of class-conditional generators, which also look at the classes that images were drawn for.

`class_fd`: the Fréchet distance within each class, averaged over the classes. `cas`: the classification
accuracy score (Ravuri and Vinyals, NeurIPS 2019, arXiv 1905.10887) in percent, of a linear classifier on the
extractor's features that was fitted to generated images and is tested on real ones. (The authors train a
ResNet-50 on pixels.)
"""

from torch import Tensor

from ndabench.errors import UserError
from ndabench.metrics.features import Examples
from ndabench.metrics.generators.frechet import FrechetReference, distance_from, moments_of
from ndabench.metrics.image_encoders.linear_probe_lbfgs import fit_logistic
from ndabench.metrics.probing import accuracy


def class_frechet(
    real: Tensor, real_labels: Tensor, fake: Tensor, fake_labels: Tensor, class_names: tuple[str, ...]
) -> list[float]:
    """A distance for each class; `UserError`, which names the class, where either side has fewer than 2."""
    distances = []
    for index, name in enumerate(class_names):
        ours, theirs = real[real_labels == index], fake[fake_labels == index]
        for images, kind in ((ours, "real"), (theirs, "generated")):
            if len(images) < 2:
                raise UserError(f"class_fd needs 2 {kind} images of class {name!r}, got {len(images)}")
        reference = FrechetReference.of(moments_of(ours).gaussian(f"real images of class {name!r}"))
        distances.append(distance_from(reference, theirs))
    return distances


def classification_accuracy_score(
    real: Tensor, real_labels: Tensor, fake: Tensor, fake_labels: Tensor, *, l2: float, max_iterations: int
) -> tuple[float, float]:
    """Percent of real features whose class a classifier of generated ones predicts, and the largest component
    of the gradient where its fit ended.

    The classifier is that of `linear_probe_lbfgs` with the penalty `l2`, which has no randomness.
    """
    num_classes = int(max(real_labels.max(), fake_labels.max())) + 1
    fitted = fit_logistic(
        Examples(fake, fake_labels), num_classes=num_classes, penalty=l2, max_iterations=max_iterations
    )
    return accuracy(fitted.predict(real), real_labels), fitted.largest_gradient
