"""From the signatures of the stages to the order in which they run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from reco.config import check_until
from reco.data.product import Product
from reco.data.products import TRUTH
from reco.errors import ConfigError
from reco.stages import STAGES, find
from reco.stages.base import Stage

Kind = type[Product]


@dataclass(frozen=True)
class Step:
    """A stage of a plan: its name in the pipeline, its class, what it takes and makes."""

    name: str
    stage: type[Stage]
    inputs: tuple[Kind, ...]
    output: Kind


@dataclass(frozen=True)
class Plan:
    """steps: in the order of running. stored: stages whose product the input already holds.

    left_out: optional stages whose inputs do not exist.
    """

    steps: tuple[Step, ...]
    stored: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def plan(
    stages: Mapping[str, type[Stage]], available: Iterable[Kind], until: str | None = None
) -> Plan:
    """Order the stages so that each finds its inputs; ties go to the one named first.

    available: products of the input. until: the last stage to run. Raises ConfigError where a
    product has two producers or none, and where there is nothing to run.
    """
    given = tuple(available)
    if not stages:
        raise ConfigError(
            "no stage to run: `stages` is empty, or all of them are off; with `base: lartpc` a "
            "pipeline starts from the whole chain"
        )
    steps = [_step(name, stage) for name, stage in stages.items()]
    _check_single_producers(steps)
    check_until(until, stages)
    stored = tuple(step.name for step in steps if step.output in given)
    ordered, rest = _order([step for step in steps if step.name not in stored], given)
    _check_all_placed(rest, ordered, given)
    if not ordered and not stored:
        names = ", ".join(step.name for step in rest)
        raise ConfigError(f"no stage to run: the input has no truth, which {names} would need")
    whole = Plan(tuple(ordered), stored, tuple(step.name for step in rest))
    return whole if until is None else replace(whole, steps=_up_to(whole, until, given))


def only_for(whole: Plan, kinds: Iterable[Kind], given: Iterable[Kind]) -> Plan:
    """The steps of a plan without which these products do not come to be.

    given: products of the input. Raises ConfigError where neither it nor a step makes one.
    """
    producer = {step.output: step for step in whole.steps}
    wanted, needed = list(kinds), set[str]()
    while wanted:
        kind = wanted.pop()
        step = producer.get(kind)
        if step is not None and step.name not in needed:
            needed.add(step.name)
            wanted.extend(step.inputs)
        elif step is None and kind not in given:
            so_far = _so_far(whole.steps, tuple(given))
            raise ConfigError(f"{kind.__name__} is neither in the input nor made from it. {so_far}")
    return replace(whole, steps=tuple(step for step in whole.steps if step.name in needed))


def _step(name: str, stage: type[Stage]) -> Step:
    try:
        signature = stage.signature()
    except (KeyError, NameError, TypeError) as error:
        raise ConfigError(
            f"stage {name!r}: {stage.__module__}.{stage.__qualname__}.__call__ must annotate its "
            f"inputs and its output with products ({error!r})"
        ) from error
    for kind in (*signature.inputs, signature.output):
        if not (isinstance(kind, type) and issubclass(kind, Product)):
            raise ConfigError(f"stage {name!r}: its signature names {kind}, which is no product")
    return Step(name, stage, signature.inputs, signature.output)


def _check_single_producers(steps: Sequence[Step]) -> None:
    producer: dict[Kind, str] = {}
    for step in steps:
        first = producer.setdefault(step.output, step.name)
        if first != step.name:
            raise ConfigError(
                f"stage {step.name!r} makes {step.output.__name__}, which stage {first!r} makes "
                f"already; remove one of them. {_so_far(steps[: steps.index(step)], ())}"
            )


def _order(steps: Sequence[Step], given: Sequence[Kind]) -> tuple[list[Step], list[Step]]:
    """Steps in the order of running, and those whose inputs never come to be."""
    ordered: list[Step] = []
    rest, made = list(steps), set(given)
    while ready := next((s for s in rest if made.issuperset(s.inputs)), None):
        rest.remove(ready)
        ordered.append(ready)
        made.add(ready.output)
    return ordered, rest


def _check_all_placed(rest: Sequence[Step], ordered: Sequence[Step], given: Sequence[Kind]) -> None:
    made = {*given, *(step.output for step in ordered)}
    needed = [step for step in rest if not step.stage.optional]
    if not needed:
        return
    # report the root of the trouble: a stage that waits for nothing another waiting stage makes
    pending = {step.output for step in rest}
    root = next((s for s in needed if not pending & ({*s.inputs} - made)), needed[0])
    missing = [kind for kind in root.inputs if kind not in made]
    raise ConfigError(
        f"stage {root.name!r} needs {', '.join(kind.__name__ for kind in missing)}, which neither "
        f"the input nor an earlier stage makes{''.join(map(_way_to, missing))}. "
        f"{_so_far(ordered, given)}"
    )


def _way_to(kind: Kind) -> str:
    """What would give a product that is missing."""
    maker = next((name for name in STAGES if find(name).signature().output is kind), None)
    if maker:
        return (
            f"; {kind.__name__} is made by {maker!r}: add it under `stages`, or use `base: lartpc`"
        )
    return f"; {kind.__name__} comes with inputs that hold truth" if kind in TRUTH else ""


def _so_far(steps: Sequence[Step], given: Sequence[Kind]) -> str:
    names = [f"{kind.__name__} (input)" for kind in given]
    names += [f"{step.output.__name__} ({step.name})" for step in steps]
    return f"Produced so far: {', '.join(names) or 'nothing'}."


def _up_to(whole: Plan, until: str, given: Sequence[Kind]) -> tuple[Step, ...]:
    """Steps up to one, and what truth can be had by then: no later run has the input's own."""
    names = [step.name for step in whole.steps]
    if until in names:
        last = names.index(until) + 1
        chosen, made = list(whole.steps[:last]), set(given)
        made.update(step.output for step in chosen)
        for step in whole.steps[last:]:
            if step.stage.optional and made.issuperset(step.inputs):
                chosen.append(step)
                made.add(step.output)
        return tuple(chosen)
    if until in whole.left_out:
        raise ConfigError(f"--until {until}: the input does not have what this stage needs")
    return ()
