"""When the index of a space is built, what is kept of it, and how it comes back into memory."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dinoseek.errors import UsageError
from dinoseek.gallery import ann, ann_file, ann_plan, approximate, index_key
from dinoseek.gallery.ann import Ann
from dinoseek.gallery.ann_plan import Plan
from dinoseek.gallery.matrix_cache import DamagedError, Matrix, MatrixKey
from dinoseek.gallery.view import as_it_was

logger = logging.getLogger(__name__)


class Indexes:
    """The index files of a gallery, in `folder`; only those that the owner of the key wrote."""

    def __init__(self, folder: Path, key_file: Path | None, threshold: int) -> None:
        self._folder = folder
        self.key_file = key_file or index_key.default_path()
        self._threshold = threshold

    def facts(self, space: str) -> dict[str, Any] | None:
        """What is known of a space's index; None without one, or without proof of who wrote it."""
        path = ann_file.ann_file(self._folder, space)
        if not path.exists():
            return None
        with ann_file.proven(path, index_key.read(self.key_file)) as file:
            return None if file is None else {**file.facts, "bytes": path.stat().st_size}

    def load(self, key: MatrixKey) -> Ann | None:
        """The index of the matrix with this key; None if there is none that can be used."""
        path = ann_file.ann_file(self._folder, key.space)
        if not path.exists():
            return None
        try:
            with ann_file.proven(path, index_key.read(self.key_file)) as file:
                if file is None or not _is_of(file.facts, key) or not file.facts["plan"]:
                    return None
                return ann.read(Plan(**file.facts["plan"]), key.rows, key.dim, file.read)
        except (DamagedError, OSError, ValueError) as exc:
            logger.warning("searching without the index %s: %s", path, exc)
        except UsageError as exc:
            logger.warning("searching without an index: %s", exc)
        return None

    def plan(self, asked: str, key: MatrixKey) -> Plan | None:
        """The index that a matrix should have; None: none."""
        memory = ann_plan.free_memory()
        plan = ann_plan.planned(asked, key.rows, key.dim, self._threshold, memory)
        if plan is not None and not ann.installed():
            if asked != "auto":
                ann.library()  # explains
            logger.warning(
                "searches of %d vectors compare all of them; an index makes them quicker,"
                " but needs: pip install dinoseek[faiss]",
                key.rows,
            )
            return None
        return plan

    def is_due(self, asked: str, plan: Plan | None, key: MatrixKey) -> bool:
        """Whether the index has to be built for its matrix to have the one that was asked for."""
        facts = self.facts(key.space)
        if plan is None:
            return facts is not None or asked != "auto"
        if facts is None or not _is_of(facts, key) or not facts["plan"] or facts["asked"] != asked:
            return True
        # what is free of memory varies from run to run, and is no reason to build another
        other = asked != "auto" and facts["plan"]["kind"] != plan.kind
        return other or not self.is_whole(key.space)

    def is_whole(self, space: str) -> bool:
        """Whether every byte of a space's index is as the owner of the key wrote it."""
        path = ann_file.ann_file(self._folder, space)
        try:
            with ann_file.proven(path, index_key.read(self.key_file)) as file:
                while file is not None and file.read(ann_file.BLOCK):
                    continue
                return file is not None
        except (DamagedError, OSError) as exc:
            logger.warning("the index %s is made anew: %s", path, exc)
            return False

    def build(self, asked: str, plan: Plan | None, matrix: Matrix) -> Ann | None:
        """Builds and keeps an index, or keeps that there should be none."""
        built, recall = None, None
        if plan is not None:
            built = ann.build(plan, matrix.whole())
            recall = approximate.tuned(as_it_was(matrix), built)
            _tell(built.plan, recall, matrix.key)
        elif asked == "auto":
            ann_file.ann_file(self._folder, matrix.key.space).unlink(missing_ok=True)
            return None
        self._store(asked, built, recall, matrix.key)
        return built

    def _store(self, asked: str, built: Ann | None, recall: float | None, key: MatrixKey) -> None:
        secret = index_key.make(self.key_file)
        if secret is None:
            return
        facts = {
            **asdict(key),
            "stamp": key.stamp.hex(),
            "asked": asked,
            "plan": asdict(built.plan) if built else None,
            "recall": recall,
        }
        path = ann_file.ann_file(self._folder, key.space)
        body = built.write if built else lambda _: None
        try:
            ann_file.store(path, secret, facts, body)
        except OSError as exc:
            logger.warning("the index cannot be kept in %s: %s", path, exc)


def _is_of(facts: dict[str, Any], key: MatrixKey) -> bool:
    own = {**asdict(key), "stamp": key.stamp.hex()}
    return {name: facts.get(name) for name in own} == own


def _tell(plan: Plan, recall: float, key: MatrixKey) -> None:
    message = "an index (%s) of %d vectors finds %.1f %% of the ten nearest"
    level = logging.INFO
    if recall < approximate.LEAST_RECALL:
        level, message = logging.WARNING, f"{message}; --index exact finds all, but is slower"
    logger.log(level, message, plan.kind, key.rows, 100 * recall)
