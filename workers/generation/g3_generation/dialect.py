"""What an endpoint understands of a request, learned from what it refuses and ignores."""

from dataclasses import dataclass, replace

_SINGLE_AFTER = 2  # one short answer may be an accident, two in a row are the server's way


@dataclass(frozen=True)
class Dialect:
    """What is said in a request: `many`, n above 1; `seed`; `form`, the fields of a form of the answer."""

    many: bool = True
    seed: bool = True
    form: bool = True


BARE = Dialect(many=False, seed=False, form=False)


class Speech:
    """How one endpoint is spoken to.

    A refused request is repeated bare; if that is taken, something in it was not understood, and the next requests
    leave one thing out each until one is taken, which is how it is spoken to from then on.
    """

    def __init__(self) -> None:
        """Everything is believed to be understood."""
        self._settled = Dialect()
        self._trials: list[Dialect] = []
        self._short = 0

    @property
    def dialect(self) -> Dialect:
        """How to say the next request."""
        return self._trials[0] if self._trials else self._settled

    def refused(self, used: Dialect, *, asked: int, formed: bool) -> None:
        """A request in `used` was refused and the same one bare was not. `asked`: its n; `formed`: it had a form."""
        if self._trials and used == self._trials[0]:
            self._trials.pop(0)
        elif not self._trials and used == self._settled:
            drops = [("many", used.many and asked > 1), ("seed", used.seed), ("form", used.form and formed)]
            self._trials = [replace(used, **{name: False}) for name, said in drops if said] + [BARE]

    def accepted(self, used: Dialect, *, asked: int, got: int) -> Dialect | None:
        """A request in `used` was answered; returns what was learned if that is new."""
        if self._trials and used == self._trials[0]:
            self._settled, self._trials = used, []
            return used
        if used.many and asked > 1:
            self._short = self._short + 1 if got == 1 else 0
            if self._short >= _SINGLE_AFTER and self._settled.many:
                self._settled = replace(self._settled, many=False)
                return self._settled
        return None

    def with_form(self) -> None:
        """A form was proved: it is asked for again."""
        self._settled = replace(self._settled, form=True)
