"""One training run, from a configuration to a run folder."""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

import resitile
from resitile.errors import UpdateError
from resitile.experiments import checkpoint, measure, records
from resitile.experiments.checkpoint import Position
from resitile.experiments.config import Config
from resitile.experiments.observer import Observer
from resitile.experiments.records import RunFolder
from resitile.experiments.rules import begin, check_folder, extend, hashes, nothing_learnt
from resitile.experiments.stop import Stopped, StopRequest, stop_request
from resitile.experiments.task import (
    Learner,
    Task,
    build,
    evaluate,
    generator,
    load_task,
    steps_per_epoch,
)
from resitile.kernels.compiling import compiled
from resitile.nn import analog_layers
from resitile.nn.faults import check_crosspoints

UNTIMED = 10  # first steps of a session, in which kernels are loaded


def run(
    config: Config,
    runs_dir: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    longer: bool = False,
    observer: Observer | None = None,
    test: bool = True,
) -> dict[str, Any]:
    """Train as the configuration says, in the folder `runs_dir / config.name`.

    Args:
        config: what to do.
        runs_dir: parent of the run's folder.
        resume: go on with a run that was interrupted; the result is that of an uninterrupted run,
            to the bit. A finished run is left as it is; one that learnt nothing yet begins anew.
        overwrite: delete an earlier run of this name first.
        longer: resume also a run that was started, or finished, with fewer epochs.
        observer: is told about every step and epoch.
        test: look at the test images at the end; without, `test_accuracy` is null.

    Returns:
        The content of summary.json.

    Raises:
        ConfigError: if the request is wrong, or another process is writing this folder; nothing
            was touched.
        Stopped: after Ctrl-C; a checkpoint was saved, or all of a run that was at its end.
        CheckpointError: if the run cannot be resumed.
        UpdateError: if the loss is no longer finite; the last epoch's checkpoint is kept.
    """
    observer = observer or Observer()
    folder = RunFolder(runs_dir / config.name)
    with ExitStack() as lock:
        new = not folder.exists
        if not new:
            lock.enter_context(records.writing(folder.path))
        check = partial(
            check_folder, config, folder, resume=resume, overwrite=overwrite, longer=longer
        )
        finished = check()
        if finished is not None:
            observer.finished_before(finished)
            return finished

        def start() -> None:
            if new:  # only now: a request that is refused leaves nothing behind, no lock either
                lock.enter_context(records.writing(folder.path))
                check()

        return _train(config, folder, resume, observer, test, start)


def _train(
    config: Config,
    folder: RunFolder,
    resume: bool,
    observer: Observer,
    test: bool,
    start: Callable[[], None],
) -> dict[str, Any]:
    """Train in a folder that is ours after `start`, which is called once all else is in order."""
    threads = torch.get_num_threads(), resitile.get_num_threads()
    torch.set_num_threads(config.train.threads)
    resitile.set_num_threads(config.train.threads)
    try:
        with (
            stop_request() as request,
            torch.random.fork_rng(devices=[]),
            threadpool_limits(config.train.threads, "blas"),  # numpy's products
        ):
            torch.default_generator.manual_seed(config.seed)
            task = load_task(config)
            learner = build(config, task)
            # A fault in what an algorithm says of its costs must not wait for the last epoch.
            measure.costs(learner.model, config.data.batch_size, 1, config.optimizer.lr)
            start()
            if resume and not nothing_learnt(folder):
                position = checkpoint.load(folder.checkpoint, learner, hashes(config, folder))
                records.cut_metrics(folder.metrics, position.epoch)
                extend(config, folder)
            else:
                if resume:
                    observer.nothing_saved(folder.path)
                position = begin(config, folder, learner, resume=resume)
            return _Run(config, folder, task, learner, position, observer, request).go(test)
    finally:
        torch.set_num_threads(threads[0])
        resitile.set_num_threads(threads[1])


class _Run:
    """The loop over epochs and steps."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        task: Task,
        learner: Learner,
        position: Position,
        observer: Observer,
        request: StopRequest,
    ) -> None:
        self.config, self.folder, self.task, self.learner = config, folder, task, learner
        self.position, self.observer, self.request = position, observer, request
        self.hash = config.hash
        self.epochs = config.train.epochs
        self.steps_per_epoch = steps_per_epoch(config, task)
        self._saved_steps = self._first_step = position.steps
        self._before, self._started = position.wall_s, time.perf_counter()

    def go(self, test: bool) -> dict[str, Any]:
        """Train what is left, then test once."""
        self.observer.start(self.config, self.epochs, self.steps_per_epoch, self.position)
        with measure.board(self.folder.tensorboard, self.position.epoch) as board:
            while self.position.epoch < self.epochs:
                self._epoch()
                found = self._close_epoch()
                measure.to_board(board, found)
                if self.request.asked and self.position.epoch < self.epochs:
                    self._stop()
        summary = self._summary(test)
        records.write_json(self.folder.summary, summary)
        self.observer.end(summary)
        if self.request.asked:  # too late for this run, but others may be waiting behind it
            raise Stopped(f"stopped after the last epoch, saved in {self.folder.path}", summary)
        return summary

    def _epoch(self) -> None:
        """The steps of one epoch that are still to do."""
        train, at, batch = self.task.train, self.position, self.config.data.batch_size
        model, optimizer = self.learner.model, self.learner.optimizer
        loss_of_scores = self.learner.loss
        order = torch.randperm(
            len(train), generator=generator(self.config.seed, "order", at.epoch + 1)
        )
        model.train()
        last, kernels = time.perf_counter(), compiled()
        while at.step < self.steps_per_epoch:
            chosen = order[at.step * batch : (at.step + 1) * batch]
            labels = train.labels.index_select(0, chosen)
            out = model(train.images.index_select(0, chosen))
            loss = loss_of_scores(out, labels)
            value = loss.item()
            if not math.isfinite(value):
                raise self._not_finite(value)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            at.loss_sum += value * len(labels)
            at.correct += int((out.detach().argmax(1) == labels).sum())
            at.seen += len(labels)
            at.step += 1
            at.steps += 1
            now = time.perf_counter()
            if at.steps - self._first_step > UNTIMED and compiled() == kernels:
                at.timed_s += now - last
                at.timed_steps += 1
            self.observer.step(at, value)
            if self.request.asked and at.step < self.steps_per_epoch:
                self._stop()
            last, kernels = time.perf_counter(), compiled()

    def _close_epoch(self) -> list[dict[str, Any]]:
        """Validate, record, adapt the schedule, save."""
        at, learner = self.position, self.learner
        self.observer.evaluating("validation")
        val_loss, val_accuracy = evaluate(learner.model, self.task.validation, learner.loss)
        if not math.isfinite(val_loss):
            raise self._not_finite(val_loss)
        train_loss, train_accuracy = at.loss_sum / at.seen, at.correct / at.seen
        pulses, transfers = measure.counts(learner.model)
        record = {
            "kind": "epoch",
            "epoch": at.epoch + 1,
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "lr": float(learner.optimizer.param_groups[0]["lr"]),
            "wall_s": self._wall_s(),
            "steps": at.steps,
            "stage": measure.stage(learner.model),
            "pulses": pulses,
            "transfers": transfers,
        }
        found = [record]
        layers = measure.tiles(learner.model)
        if layers:
            found.append({"kind": "tiles", "epoch": at.epoch + 1, "layers": layers})
        if learner.scheduler:
            learner.scheduler.step()
        if learner.warm:
            learner.warm.step(train_loss)
        at.epoch += 1
        at.step, at.seen, at.correct, at.loss_sum = 0, 0, 0, 0.0
        at.best_val_accuracy = max(at.best_val_accuracy, val_accuracy)
        records.append_metrics(self.folder.metrics, found)
        due = at.epoch % self.config.train.checkpoint_every == 0 or at.epoch == self.epochs
        if due or self.request.asked:
            self._save()
        self.observer.epoch(record)
        return found

    def _summary(self, test: bool) -> dict[str, Any]:
        at, model, config = self.position, self.learner.model, self.config
        loss = self.learner.loss
        val_accuracy, test_accuracy = evaluate(model, self.task.validation, loss)[1], None
        if test:
            self.observer.evaluating("test")
            test_accuracy = evaluate(model, self.task.test, loss)[1]
        rule = config.rule()
        devices = () if rule is None else rule.devices()
        return {
            "schema": records.SCHEMA,
            "name": config.name,
            "algorithm": "Digital" if rule is None else type(rule).__name__,
            "label": config.title,
            "device": _of_tiles([repr(device) for device in devices], "; ".join),
            "states": _of_tiles([device.states for device in devices], list),
            "tiles": None if rule is None else rule.count,
            "val_accuracy": val_accuracy,
            "test_accuracy": test_accuracy,
            "best_val_accuracy": at.best_val_accuracy,
            "epochs": at.epoch,
            "seed": config.seed,
            "wall_s": self._wall_s(),
            "steps": at.steps,
            "ms_per_step": 1000 * at.timed_s / at.timed_steps if at.timed_steps else None,
            "config_hash": self.hash,
            "environment": records.environment(config.train.threads),
            "data": config.data.name,
            "classes": self.task.train.labels.unique().numel(),
            "train_size": len(self.task.train),
            "val_size": len(self.task.validation),
            "test_size": len(self.task.test),
            "wear": measure.wear(model),
            "idle_tiles": measure.idle(model),
            **measure.costs(
                model, config.data.batch_size, at.epoch * len(self.task.train), config.optimizer.lr
            ),
        }

    def _wall_s(self) -> float:
        return self._before + time.perf_counter() - self._started

    def _save(self) -> None:
        self.position.wall_s = self._wall_s()
        checkpoint.save(self.folder.checkpoint, self.learner, self.position, self.hash)
        self._saved_steps = self.position.steps

    def _stop(self) -> None:
        at = self.position
        self._save()
        where = f"step {at.step} of epoch {at.epoch + 1}" if at.step else f"epoch {at.epoch}"
        raise Stopped(f"stopped after {where} of {self.epochs}, saved in {self.folder.path}")

    def _not_finite(self, value: float) -> UpdateError:
        at = self.position
        for layer in analog_layers(self.learner.model).values():
            check_crosspoints(layer.crosspoints, layer.algorithm)
        return UpdateError(
            f"the loss became {value} in epoch {at.epoch + 1} after {at.step} steps. Lower "
            f"optimizer.lr (now {self.config.optimizer.lr}). The last good state, after "
            f"{self._saved_steps} steps in all, is kept in {self.folder.checkpoint}"
        )


def _of_tiles(values: list[Any], several: Callable[[list[Any]], Any]) -> Any:
    """What all tiles have in common; else `several` of their values, coarsest tile first."""
    return several(values) if len(set(values)) > 1 else next(iter(values), None)
