"""What must be known of each evaluation protocol without loading torch: its name, what it refuses, where it is.

A protocol's settings are the fields of ``EvalConfig`` that name it. How it scores is in ``simclr_core/evals/``, at the
place that ``module`` names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from simclr_core.config.schema import EvalConfig, RunConfig, ViewsConfig

LEAST_KNN_TEMPERATURE = 0.012
"""exp(1 / 0.011) exceeds the largest float32."""


class ProtocolRules:
    """What all protocols have. An instance of a subclass in ``PROTOCOLS`` is a protocol."""

    module: ClassVar[str]  # ``module:class`` of what scores
    tells_classes: ClassVar[bool] = True  # False: its answers are something else than the images' classes
    leaves_classifier: ClassVar[bool] = False  # weights on the network, which an evaluation may keep

    def problems(self, evaluation: EvalConfig, config: RunConfig) -> list[str]:  # noqa: ARG002 - most refuse nothing
        """What the protocol does not allow in an evaluation, valid field by field, of runs of a configuration."""
        return []


class Linear(ProtocolRules):
    """Logistic regression on frozen embeddings."""

    module = "simclr_core.evals.linear:Linear"
    leaves_classifier = True


class LinearSGD(ProtocolRules):
    """A linear layer on the frozen network, trained by SGD on augmented images."""

    module = "simclr_core.evals.linear_sgd:LinearSGD"
    leaves_classifier = True


class KNN(ProtocolRules):
    """Weighted votes of the nearest neighbours."""

    module = "simclr_core.evals.knn:KNN"

    def problems(self, evaluation: EvalConfig, config: RunConfig) -> list[str]:  # noqa: ARG002 - whatever the run
        """Votes have to be numbers."""
        if evaluation.temperature >= LEAST_KNN_TEMPERATURE:
            return []
        expected = f"expected at least {LEAST_KNN_TEMPERATURE:g}"
        return [f"temperature = {evaluation.temperature:g}: exp(1 / temperature) overflows; {expected}"]


class FineTune(ProtocolRules):
    """The whole network trained with labels."""

    module = "simclr_core.evals.fine_tune:FineTune"
    leaves_classifier = True

    def problems(self, evaluation: EvalConfig, config: RunConfig) -> list[str]:  # noqa: ARG002 - whatever the run
        """BN is in train mode."""
        if evaluation.batch_size > 1:
            return []
        return ["batch_size = 1: fine-tuning needs the statistics of a batch; expected at least 2"]


class TransformProbe(ProtocolRules):
    """What was done to a view, predicted from its embedding."""

    module = "simclr_core.evals.transform_probe:TransformProbe"
    tells_classes = False

    def problems(self, evaluation: EvalConfig, config: RunConfig) -> list[str]:
        """The views have to differ in what is predicted."""
        expected = _expected_views(config.views, evaluation.task)
        return [f"task = {evaluation.task!r}: the views never differ in it; expected {expected}"] if expected else []


def _expected_views(views: ViewsConfig, task: str) -> str:
    """What the views would have to be for a probe to have something to predict; nothing if they are so."""
    if views.kind == "pair" and task in ("noise", "sobel"):
        return "views.kind = 'standard'"  # a pair applies them to every view
    if views.kind == "pair" and task not in (views.first, views.second):
        return f"{task!r} as views.first or views.second"
    if views.kind == "standard" and task == "color" and views.distortion != "color":
        return "views.distortion = 'color'"
    if task == "rotate":
        rotates = views.kind == "pair" or views.rotate_probability > 0
        return "" if rotates else "views.rotate_probability above 0"
    name = f"{'gray' if task == 'color' else task}_probability"
    return "" if 0 < getattr(views, name) < 1 else f"views.{name} between 0 and 1"


PROTOCOLS: dict[str, ProtocolRules] = {
    "linear": Linear(),
    "linear_sgd": LinearSGD(),
    "knn": KNN(),
    "fine_tune": FineTune(),
    "transform_probe": TransformProbe(),
}
"""The protocols by name."""
