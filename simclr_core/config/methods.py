"""The settings of each method: one dataclass per method, chosen by ``method.name``.

A dataclass also says what the harness must know about a method without torch: how many views of an image a step needs,
which passes through the network a step makes, and which configurations the method refuses. ``module`` names the class
in ``simclr_core/methods/`` that holds the network and the objective.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from simclr_core.config.options import option

if TYPE_CHECKING:
    from simclr_core.config.schema import RunConfig


class Pass(NamedTuple):
    """One pass through the network of some views of every image."""

    views: int  # views of an image that go through
    trains: bool = True  # a backward pass follows
    predicts: bool = True  # beyond z too: through the predictor and the layer that the method trains on z
    from_z: bool = False  # the backward pass begins at z: what lies beyond z takes no gradient
    small: bool = False  # the views are the small ones


@dataclass
class MethodConfig:
    """The settings that all methods have. A subclass decorated with ``@register`` is a method."""

    module: ClassVar[str]  # ``module:class`` of the method's network and objective
    needs_labels: ClassVar[bool] = False
    takes_small_views: ClassVar[bool] = False  # beside its ``num_views``, as many as ``views.small_views``

    name: str = ""
    loss_scale: float = option(1.0, low=1e-6, neutral=1.0)  # 2: SimCLR's released code adds the two views' means

    @property
    def num_views(self) -> int:
        """Views of an image that a step needs, small ones apart."""
        return 2

    def passes(self, config: RunConfig) -> Sequence[Pass]:
        """The passes through the network that a step makes: here all views there and back."""
        return (Pass(self.num_views), Pass(config.views.small_views, small=True))

    @property
    def num_outputs(self) -> int:
        """Number of outputs of the linear layer that the method trains on z; 0 if the method has no such layer."""
        return 0

    def problems(self, config: RunConfig) -> list[str]:  # noqa: ARG002 - most methods refuse nothing
        """List what the method refuses in a configuration whose fields are valid one by one."""
        return []

    def data_problems(self, name: str, num_classes: int) -> list[str]:  # noqa: ARG002 - most methods see no labels
        """List what the method refuses in a data set with this name and number of classes."""
        return []


METHODS: dict[str, type[MethodConfig]] = {}
"""All methods by name, in the order of registration."""

Kind = TypeVar("Kind", bound=type[MethodConfig])


def register(kind: Kind) -> Kind:
    """Register a dataclass as the method that the default of its field ``name`` names."""
    METHODS[kind().name] = kind
    return kind


def _name(name: str) -> Any:
    return option(name, choices=(name,))


_WITH_TEMPERATURE = {"loss": ("nt_xent", "nt_logistic")}
_NT_XENT = {"loss": ("nt_xent",)}


@register
@dataclass
class SimCLRConfig(MethodConfig):
    """SimCLR (Chen et al. 2020): two views of an image agree, compared with the other views of the batch."""

    module = "simclr_core.methods.simclr:SimCLR"

    name: str = _name("simclr")
    loss: str = option("nt_xent", choices=("nt_xent", "nt_logistic", "margin_triplet"), neutral="nt_xent")  # Table 4
    normalize: bool = option(True, only=_NT_XENT, neutral=True)  # False: dot products (Table 5)
    negatives: str = option(  # of NT-Xent; the other losses have the other view's alone (App. B.10)
        "both_views", choices=("both_views", "other_view"), only=_NT_XENT, neutral="both_views"
    )
    temperature: float = option(0.1, low=1e-6, only=_WITH_TEMPERATURE)
    margin: float = option(0.8, low=0.0, high=2.0, only={"loss": ("margin_triplet",)})
    semi_hard: bool = option(False, only={"loss": ("nt_logistic", "margin_triplet")})
    stop_gradient: bool = option(False, neutral=False)


@register
@dataclass
class SimSiamConfig(MethodConfig):
    """SimSiam (Chen and He 2021): the prediction from each view matches the projection of the other view."""

    module = "simclr_core.methods.simsiam:SimSiam"

    name: str = _name("simsiam")
    stop_gradient: bool = False
    similarity: str = option("cosine", choices=("cosine", "cross_entropy"), neutral="cosine")
    symmetry: str = option(
        "symmetric", choices=("symmetric", "asymmetric", "asymmetric_2x"), neutral="symmetric"
    )  # Sec. 4.6
    target: str = option("batch", choices=("batch", "moving_average"), neutral="batch")  # Sec. 5.2
    target_momentum: float = option(0.8, low=0.0, high=1.0, only={"target": ("moving_average",)})
    alternation_steps: int = option(
        1, low=0, only={"target": ("batch",)}, neutral=1
    )  # steps between two snapshots of the network that gives the targets (Sec. 5.2); 0: one epoch

    @property
    def num_views(self) -> int:
        """Four for ``asymmetric_2x``: a second pair of views replaces the direction that ``asymmetric`` omits."""
        return 4 if self.symmetry == "asymmetric_2x" else 2

    @property
    def alternates(self) -> bool:
        """Whether the targets come from a snapshot of the network."""
        return self.target == "batch" and self.alternation_steps != 1

    def passes(self, config: RunConfig) -> Sequence[Pass]:
        """A snapshot makes a forward pass of its own; a view that only gives a target takes less of a backward pass.

        ``asymmetric`` predicts from every view and uses the predictions of view 1. Where the views pass the network
        together, the backward pass goes through all of them. Where they pass it one after the other, that of view 2
        begins at its projection, and with ``stop_gradient`` there is none.
        """
        snapshot = (Pass(2, trains=False, predicts=False),) if self.alternates else ()
        if self.symmetry == "symmetric" or config.training.views_forward == "joint":
            return (Pass(self.num_views), *snapshot)
        half = self.num_views // 2
        return (Pass(half), Pass(half, trains=not self.stop_gradient, from_z=True), *snapshot)

    def problems(self, config: RunConfig) -> list[str]:  # noqa: ARG002 - the method's own fields say it all
        """Refuse settings of Sec. 5.2 without a stop-gradient, or with more than one pair of views."""
        if self.target == "batch" and not self.alternates:
            return []
        setting = "method.target = 'moving_average'" if self.target != "batch" else "method.alternation_steps"
        problems = []
        if not self.stop_gradient:
            problems.append(f"{setting}: its targets take no gradient; expected method.stop_gradient = true")
        if self.symmetry == "asymmetric_2x":
            problems.append(f"{setting}: has one pair of views; expected method.symmetry 'symmetric' or 'asymmetric'")
        return problems


@register
@dataclass
class SupervisedConfig(MethodConfig):
    """Supervised training: cross entropy against the labels, the baseline of SimCLR's Table 1 and App. B.3."""

    module = "simclr_core.methods.supervised:Supervised"
    needs_labels = True

    name: str = _name("supervised")
    num_classes: int = option(10, low=2)  # of the data set whose labels are learnt

    @property
    def num_views(self) -> int:
        """One, because no view is compared with another view."""
        return 1

    @property
    def num_outputs(self) -> int:
        """One output per class."""
        return self.num_classes

    def data_problems(self, name: str, num_classes: int) -> list[str]:
        """Refuse a data set whose number of classes differs from ``num_classes``."""
        if num_classes == self.num_classes:
            return []
        return [f"method.num_classes = {self.num_classes}: {name} has {num_classes} classes"]
