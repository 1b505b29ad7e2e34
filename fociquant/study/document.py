"""YAML as data, with the line of every key and the text of every scalar as written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from fociquant.errors import Problem, said

Key = tuple[str, ...]
"""Path of a key from the top: ``("channels", "marker")``."""

_TAG = "tag:yaml.org,2002:"


@dataclass(slots=True)
class Document:
    """A mapping read from YAML.

    Parameters
    ----------
    file : str
        For messages.
    values : dict
        Nested dicts and lists of plain values; keys are text as written.
    lines : dict
        Key path to line, from 1.
    texts : dict
        Key path of a scalar to its text as written (``007`` stays ``007``);
        None for null.
    """

    file: str
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[Key, int] = field(default_factory=dict)
    texts: dict[Key, str | None] = field(default_factory=dict)

    def where(self, *key: str) -> str:
        """File, line and dotted key; the line of the nearest key above if it is absent."""
        known = (self.lines.get(key[:depth]) for depth in range(len(key), 0, -1))
        line = next((at for at in known if at is not None), None)
        place = self.file if line is None else f"{self.file}, line {line}"
        return f"{place}, key {'.'.join(key)!r}"

    def text(self, *key: str) -> str | None:
        """The scalar at `key` as written; None if it is absent, null or no scalar."""
        return self.texts.get(key)


class _Builder:
    """Turns composed nodes into a :class:`Document`; never builds Python objects."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self._constructor = yaml.constructor.SafeConstructor()
        self._seen: set[int] = set()

    def build(self, node: yaml.Node, key: Key) -> Any:
        """The plain value of a node; a problem and None where it has none."""
        if id(node) in self._seen:
            return self._refuse(node, key, "an alias (*name).", "Write the value out.")
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return dict(self._items(node, key))
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.build(child, (*key, str(i))) for i, child in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, key)
        return self._refuse(node, key, f"the tag {node.tag!r}.", "Remove it.")

    def _items(self, node: yaml.MappingNode, above: Key) -> Iterator[tuple[str, Any]]:
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode):
                self._refuse(name, above, "a key that is not text.", "Write a single word.")
                continue
            key = (*above, name.value)
            line = name.start_mark.line + 1
            if key in self.document.lines:
                what = f"the key is already on line {self.document.lines[key]}."
                where = f"{self.document.file}, line {line}, key {'.'.join(key)!r}"
                self.problems.append(Problem(where, what, "Keep one of the two."))
                continue
            self.document.lines[key] = line
            yield name.value, self.build(value, key)

    def _scalar(self, node: yaml.ScalarNode, key: Key) -> Any:
        null = node.tag == f"{_TAG}null"
        self.document.texts[key] = None if null else str(node.value)
        try:
            return self._constructor.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError):
            return self._refuse(node, key, f"no plain value: {node.value!r}.", "Put it in quotes.")

    def _refuse(self, node: yaml.Node, key: Key, what: str, cure: str) -> None:
        where = f"{self.document.file}, line {node.start_mark.line + 1}"
        named = f", key {'.'.join(key)!r}" if key else ""
        self.problems.append(Problem(f"{where}{named}", f"holds {what}", cure))


def parse_yaml(text: str, file: str) -> tuple[Document, list[Problem]]:
    """Read a YAML mapping as data.

    Aliases, tags and repeated keys are refused: none of them has a use in a
    study file, and the first can make a few lines fill the memory.

    Parameters
    ----------
    text : str
        The file's content.
    file : str
        For messages.

    Returns
    -------
    document : Document
        What could be read; empty for an empty file.
    problems : list of Problem
        Bad syntax (with the line), and what is refused.
    """
    document = Document(file)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            return document, []
        if not isinstance(root, yaml.MappingNode):
            what = "holds no 'key: value' lines."
            return document, [Problem(file, what, "Write, for example, 'name: my-study'.")]
        builder = _Builder(document)
        document.values = builder.build(root, ())
    except yaml.YAMLError as error:
        return Document(file), [_syntax_problem(error, file)]
    except RecursionError:
        return Document(file), [Problem(file, "is nested too deeply.", "Is it the right file?")]
    return document, builder.problems


def _syntax_problem(error: yaml.YAMLError, file: str) -> Problem:
    cure = "Indent with spaces, one 'key: value' a line; quote text that holds ': ' or ' #'."
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        where = f"{file}, line {mark.line + 1}, column {mark.column + 1}"
        told = ", ".join(part for part in (error.context, error.problem) if part)
        return Problem(where, f"not valid YAML: {told}.", cure)
    if isinstance(error, yaml.reader.ReaderError):
        what = "not valid YAML: a character that YAML does not allow."
        return Problem(file, what, "Remove it, or save the file again as UTF-8.")
    return Problem(file, f"not valid YAML: {said(error)}.", cure)
