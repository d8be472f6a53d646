"""A figure that notebooks show."""

import io

from matplotlib.figure import Figure


class Drawing(Figure):
    """A figure of matplotlib that shows itself in a notebook, also where nobody has asked matplotlib to do so.

    Jupyter draws only figures that pyplot made. pyplot would keep each of them, and open windows where there are some.
    """

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()
